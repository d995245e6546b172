"""A newcomer finds the right room: no file grows past what can be read in one go."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_LINES = 400
PACKAGES = ("demo", "model_export", "service", "training", "tests")


@pytest.mark.parametrize("package", PACKAGES)
def test_files_stay_short(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert len(files) > 1
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in files}
    long = {str(f.relative_to(ROOT)): n for f, n in lengths.items() if n > MAX_LINES}
    assert not long, f"longer than {MAX_LINES} lines: {long}"


def test_every_test_folder_is_a_package() -> None:
    folders = {file.parent for file in (ROOT / "tests").rglob("test_*.py")}
    missing = sorted(str(f) for f in folders if not (f / "__init__.py").is_file())
    assert not missing
