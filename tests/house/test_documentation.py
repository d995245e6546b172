"""Pages and code tell the same: links, paths, settings, error codes, records."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.errors import catalogue
from tests.house.pages import PAGES, ROOT, fences, name, prose
from tests.support.machine import HANGS_S

DOCS = ROOT / "docs"
DECISIONS = sorted((DOCS / "decisions").glob("*.md"))
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site generator make them."""
    titles = re.findall(r"(?m)^#+ (.+)$", prose(page))
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower() for title in titles]
    return {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", title).strip()) for title in plain}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(prose(page)):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{name(page)}: {target}"
        if page.is_relative_to(DOCS):
            assert file.is_relative_to(DOCS), f"{name(page)}: {target} is not part of the site"
        if anchor:
            assert anchor in anchors(file), f"{name(page)}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_json_examples_are_json(page: Path) -> None:
    for fence in fences(page):
        if fence.language == "json":
            json.loads(fence.text)


def test_the_site_shows_every_page_once() -> None:
    config = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))

    def shown(entries: list[dict[str, Any]]) -> Iterator[str]:
        for entry in entries:
            for value in entry.values():
                yield from [value] if isinstance(value, str) else shown(value)

    found = sorted(shown(config["project"]["nav"]))
    assert found == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


def test_the_readme_is_one_screen() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_concepts_answer_ten_questions_with_a_path_each() -> None:
    text = (DOCS / "concepts.md").read_text(encoding="utf-8")
    questions = text.split("## Ten questions of a newcomer")[1].split("\n### ")[1:]
    assert len(questions) == 10
    for question in questions:
        title, path = re.match(r"(.+\?)\n\n`([^`\n]+)`\n", question).groups()  # pyright: ignore[reportOptionalMemberAccess]
        assert (ROOT / path).exists(), f"{title} {path}"
    for path in re.findall(r"`((?:service|training|model_export)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), path


def test_the_configuration_page_is_that_of_the_settings() -> None:
    command = [sys.executable, "docs/generate_configuration.py", "--check"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=HANGS_S, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_error_code_has_a_section() -> None:
    page = (DOCS / "api-errors.md").read_text(encoding="utf-8")
    assert set(re.findall(r"(?m)^### `(\w+)`$", page)) == set(catalogue())


@pytest.mark.parametrize("record", DECISIONS, ids=name)
def test_decisions_have_a_number_a_status_and_a_date(record: Path) -> None:
    lines = record.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith(f"# {int(record.name[:4])}. ")
    assert re.match(r"- Status: (proposed|accepted|superseded by)\b", lines[2])
    assert re.fullmatch(r"- Date: \d{4}-\d{2}-\d{2}", lines[3])
    assert len(lines) <= 60


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(record.name[:4]) for record in DECISIONS] == [*range(1, len(DECISIONS) + 1)]
