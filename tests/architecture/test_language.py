"""Docstrings say what a thing is; none begins as if it went on from the one before it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("model_export", "service", "training")
RIDDLES = ("The same", "As ", "See ")


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_no_docstring_begins_with_a_riddle(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert len(files) > 1
    found = [f"{file.relative_to(ROOT)}: {text}" for file in files for text in _riddles(file)]
    assert not found


def _riddles(file: Path) -> list[str]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    texts = [ast.get_docstring(node) or "" for node in nodes if isinstance(node, documented)]
    return [text.splitlines()[0] for text in texts if text.startswith(RIDDLES)]
