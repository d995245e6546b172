"""The make targets are the single entry: they exist, and everybody calls them."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.machine import HANGS_S

ROOT = Path(__file__).parents[2]
TARGETS = re.findall(r"(?m)^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"))


def make(*arguments: str) -> str:
    """What `make` prints."""
    command = ["make", "--no-print-directory", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=HANGS_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_explains_every_target_and_each_can_be_planned() -> None:
    shown = dict(re.findall(r"(?m)^  make (\S+)\s+(\S.*)$", make("help")))
    assert list(shown) == TARGETS
    for target in TARGETS:
        assert make("--dry-run", target)


def test_the_demo_is_told_its_data_and_port() -> None:
    planned = make("--dry-run", "demo", "DATA=some/folder", "PORT=8123")
    assert "--port 8123 --data some/folder" in planned


def test_clean_removes_no_store_of_people(tmp_path: Path) -> None:
    planned = make("--dry-run", "serve")
    (state,) = re.findall(r"--data-dir (\S+)", planned)
    assert Path(state).parts[0] != "build"
    shutil.copy(ROOT / "Makefile", tmp_path)
    store = tmp_path / "build" / "serve" / "store"
    store.mkdir(parents=True)
    clean = ["make", "--no-print-directory", "clean"]
    refused = subprocess.run(clean, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "build/serve is a store: move it out of build, or remove it" in refused.stderr
    assert store.is_dir()
    store.parent.rename(tmp_path / state)
    subprocess.run(clean, cwd=tmp_path, capture_output=True, check=True)
    assert {file.name for file in tmp_path.iterdir()} == {"Makefile", state}


def test_commit_hooks_call_make_targets() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repo["repo"] for repo in config["repos"]] == ["local"]  # nothing is downloaded
    (hook,) = config["repos"][0]["hooks"]
    command, *targets = hook["entry"].split()
    assert command == "make"
    assert set(targets) <= set(TARGETS)


def test_ci_runs_make_test() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    text = script.read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in text
    assert re.search(r"(?m)^make test\b", text)


@pytest.mark.slow
def test_ctrl_c_is_tested_in_the_background_too() -> None:
    test = "test_ctrl_c_waits_until_a_fit_that_starts_is_known"
    pytest_call = f"{shlex.quote(sys.executable)} -m pytest -q -n 0 -p no:cacheprovider"
    ignoring = f"trap '' INT; exec {pytest_call} tests/training/commands/test_compare.py -k {test}"
    done = subprocess.run(
        ["sh", "-c", ignoring],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=HANGS_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout
