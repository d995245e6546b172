"""A newcomer finds the right room: no file grows past what can be read in one go."""

from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_LINES = 400
MAX_MODULES = 14
SCRIPTS = ROOT / "service" / "console" / "web" / "src"
PACKAGES = ("demo", "model_export", "service", "training", "tests")


@pytest.mark.parametrize("package", PACKAGES)
def test_files_stay_short(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert len(files) > 1
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in files}
    long = {str(f.relative_to(ROOT)): n for f, n in lengths.items() if n > MAX_LINES}
    assert not long, f"longer than {MAX_LINES} lines: {long}"


def test_scripts_of_the_console_stay_short_and_their_folders_small() -> None:
    files = [p for p in SCRIPTS.rglob("*") if p.suffix in {".ts", ".tsx", ".css"}]
    files = [p for p in files if p.name != "schema.d.ts"]  # generated, and not in git
    assert len(files) > 1
    lengths = {p.name: len(p.read_text(encoding="utf-8").splitlines()) for p in files}
    assert not {name: lines for name, lines in lengths.items() if lines > MAX_LINES}
    crowded = {p: n for p, n in Counter(p.parent.name for p in files).items() if n > MAX_MODULES}
    assert not crowded


def test_every_test_folder_is_a_package() -> None:
    folders = {file.parent for file in (ROOT / "tests").rglob("test_*.py")}
    missing = sorted(str(f) for f in folders if not (f / "__init__.py").is_file())
    assert not missing


@pytest.mark.parametrize("package", ["model_export", "service", "training"])
def test_folders_stay_small(package: str) -> None:
    modules = Counter(
        str(file.parent.relative_to(ROOT))
        for file in (ROOT / package).rglob("*.py")
        if file.name != "__init__.py"
    )
    assert len(modules) > 1
    crowded = {folder: count for folder, count in modules.items() if count > MAX_MODULES}
    assert not crowded, f"more than {MAX_MODULES} modules: {crowded}"
