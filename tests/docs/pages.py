"""The Markdown pages of the project, and the fenced blocks in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.service import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
_FENCE = re.compile(r"^```(\S*)$")
_CATEGORY = re.compile(r"^<!-- commands: (\w+) -->$")


@dataclass(frozen=True)
class Fence:
    """A fenced block: its language, what the comment above it says, its text and its line."""

    language: str
    category: str | None
    text: str
    line: int


def fences(page: Path) -> Iterator[Fence]:
    """The fenced blocks of a page, in order."""
    opened: tuple[str, str | None, int] | None = None
    body: list[str] = []
    before = ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        fence = _FENCE.match(line)
        if fence and opened is None:
            category = _CATEGORY.match(before)
            opened, body = (fence[1], category and category[1], number), []
        elif fence and opened is not None:
            yield Fence(opened[0], opened[1], "\n".join(body) + "\n", opened[2])
            opened = None
        elif opened is not None:
            body.append(line)
        before = line
    assert opened is None, f"{page}: the block of line {opened} has no end"


def prose(page: Path) -> str:
    """The text of a page without its fenced blocks."""
    return re.sub(r"(?ms)^```.*?^```$", "", page.read_text(encoding="utf-8"))


def name(page: Path) -> str:
    """Its path, for the names of tests."""
    return str(page.relative_to(ROOT))
