"""Pages and code tell the same: links, paths, settings, error codes, records."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.house.pages import PAGES, ROOT, fences, name, prose

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
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def error_codes() -> set[str]:
    """Every `code` that the service can send: of error classes, and where a document is made."""
    found: set[str] = set()
    for file in sorted((ROOT / "service").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            found |= {text for text in map(_text, _codes_in(node)) if text}
    return found


def _codes_in(node: ast.AST) -> Sequence[ast.expr | None]:
    if isinstance(node, ast.ClassDef):  # code = "..."; status, code, title = 404, "...", "..."
        sets = [s for s in node.body if isinstance(s, ast.Assign)]
        pairs = [(s.targets[0], s.value) for s in sets]
        pairs += [
            pair
            for target, value in pairs
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
            for pair in zip(target.elts, value.elts, strict=True)
        ]
        return [value for target, value in pairs if ast.unparse(target) == "code"]
    if isinstance(node, ast.Call) and len(node.args) > 1:  # f(404, "..."); CODES.get(status, "...")
        first, second = node.args[:2]
        called, about = ast.unparse(node.func), ast.unparse(first)
        makes = called == "problem" or _is_status(first)
        return [second] if makes or (called.endswith(".get") and "status" in about) else []
    if isinstance(node, ast.Dict):  # {404: "..."}
        return node.values if all(map(_is_status, node.keys)) else []
    return []


def _is_status(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value in range(400, 600)


def _text(node: ast.expr | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def test_every_error_code_has_a_section() -> None:
    page = (DOCS / "api-errors.md").read_text(encoding="utf-8")
    assert set(re.findall(r"(?m)^### `(\w+)`$", page)) == error_codes()


@pytest.mark.parametrize("record", DECISIONS, ids=name)
def test_decisions_have_a_number_a_status_and_a_date(record: Path) -> None:
    lines = record.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith(f"# {int(record.name[:4])}. ")
    assert re.match(r"- Status: (proposed|accepted|superseded by)\b", lines[2])
    assert re.fullmatch(r"- Date: \d{4}-\d{2}-\d{2}", lines[3])
    assert len(lines) <= 60


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(record.name[:4]) for record in DECISIONS] == [*range(1, len(DECISIONS) + 1)]
