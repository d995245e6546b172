"""`python -m model_export`: one line for every failure, with its exit status."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from model_export.__main__ import main

ROOT = Path(__file__).parents[3]
LOADER = "tests.unit.model_export.modules:load"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    file = tmp_path / "checkpoint.json"
    file.write_text(json.dumps({"seed": 3}))
    return file


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "model_export", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_a_missing_checkpoint_of_the_trainer_is_one_line(tmp_path: Path) -> None:
    """The exporter imports no trainer, and yet tells what the trainer's loader has to say."""
    loader = "training.inference.load:load_checkpoint"
    done = command(loader, "--checkpoint", tmp_path / "missing", "--out", tmp_path / "bundle")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {tmp_path / 'missing'} can't be loaded: ")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def failed(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert main([*map(str, arguments)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err.removesuffix("\n")


def test_what_the_loader_raises_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "missing"
    message = failed(capsys, LOADER, "--checkpoint", missing, "--out", tmp_path / "out")
    assert message == f"error: {missing} is not a checkpoint; train first"


def test_a_checkpoint_that_can_not_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = failed(capsys, LOADER, "--checkpoint", tmp_path, "--out", tmp_path / "out")
    assert (
        message == f"error: {tmp_path} can't be used: Is a directory; check --checkpoint and --out"
    )
    (tmp_path / "text").write_text("not JSON")
    message = failed(capsys, LOADER, "--checkpoint", tmp_path / "text", "--out", tmp_path / "out")
    assert message.startswith("error: Expecting value: line 1")


def test_a_place_that_is_taken_or_can_not_be(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = failed(capsys, LOADER, "--checkpoint", checkpoint, "--out", tmp_path)
    assert message == f"error: {tmp_path} exists already; choose another --out or remove it"
    message = failed(capsys, LOADER, "--checkpoint", checkpoint, "--out", checkpoint / "under")
    below = checkpoint / "under"
    said = f"error: {below} can't be made: {checkpoint} is no folder; choose another --out"
    assert message == said
    message = failed(capsys, LOADER, "--checkpoint", checkpoint, "--out", "/proc/bundle")
    said = "/proc/bundle can't be made: No such file or directory; choose another --out"
    assert message == f"error: {said}"


@pytest.mark.parametrize(
    ("loader", "reason"),
    [
        ("nowhere.at_all:load", "can't load 'nowhere.at_all:load': No module named 'nowhere'"),
        (
            "tests.unit.model_export.modules:lode",
            "can't load 'tests.unit.model_export.modules:lode': module",
        ),
        (
            "training.models.encoder:load_checkpoint",
            "has no attribute 'load_checkpoint' (since 0.1.0 it is "
            "training.inference.load:load_checkpoint)",
        ),
        ("tests.unit.model_export.modules", "is not of the form package.module:function"),
        ("tests.unit.model_export.modules:", "is not of the form package.module:function"),
        (":load", "is not of the form package.module:function"),
        (".modules:load", "is not of the form package.module:function"),
        ("a b:load", "is not of the form package.module:function"),
        ("tests.unit.model_export.modules:NOT_A_FUNCTION", "is not a function"),
    ],
)
def test_an_import_string_that_leads_nowhere(
    loader: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([loader, "--checkpoint", "c", "--out", "o"])
    assert ended.value.code == 2
    printed = capsys.readouterr()
    last = printed.err.splitlines()[-1]
    assert last.startswith("python -m model_export: error: argument loader: ")
    assert reason in last
    assert "Traceback" not in printed.err
