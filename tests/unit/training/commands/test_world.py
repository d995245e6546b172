"""`python -m training world`, as a person calls it."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.machine import HANGS_S
from training.commands.cli import main
from training.data import load_dataset

pytestmark = pytest.mark.slow

SIZE = ("--streamers", "200")
FORMS = [("--streamers", "200"), ("--streamers", "60", "--media")]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def make(folder: Path, *more: str) -> int:
    return main(["world", "--out", str(folder), *SIZE, *more])


PINNED = {
    "duplicates.csv": "50a575c6ad89d71398420a4751335d9da7ba3a5e3530583ff56b10fcfea987be",
    "interactions.csv": "8a421576517a3a79cd6543249146bcc4a5e501234819219456316684ffa41ef8",
    "labels.csv": "fe80dc8a552251bf536e6504c2887afc106ee744d0d7b2b4ca13e50d4c5f67ac",
    "splits.csv": "46d601aa770d65c575262ba13692d9dc5dccae34871192cefe3b91f1e8b19b63",
    "streamers.jsonl": "48a618a52ba5bcb7130541d02d487ecf99c1ea1e8b8911153ab6b6059c70a0bd",
}
"""SHA-256 of the world of 120 streamers with seed 3, as generator 2 makes it."""


def test_a_generator_of_the_same_number_makes_the_same_bytes(tmp_path: Path) -> None:
    assert main(["world", "--out", str(tmp_path), "--streamers", "120", "--seed", "3"]) == 0
    found = contents(tmp_path)
    marker = found.pop("world.json")
    assert b'"generator": 2' in marker
    assert b"media" not in marker
    assert {name: hashlib.sha256(data).hexdigest() for name, data in found.items()} == PINNED


@pytest.mark.parametrize("form", FORMS, ids=["vectors", "media"])
def test_the_same_seed_gives_the_same_bytes_in_any_process(
    tmp_path: Path, form: tuple[str, ...]
) -> None:
    for name in ("0", "424242"):
        subprocess.run(
            [sys.executable, "-m", "training", "world", "--out", tmp_path / name, *form],
            env={**os.environ, "PYTHONHASHSEED": name},
            check=True,
            timeout=HANGS_S,
            capture_output=True,
        )
    one = contents(tmp_path / "0")
    assert one == contents(tmp_path / "424242")
    assert make(tmp_path / "other", "--seed", "1", *form) == 0
    other = contents(tmp_path / "other")
    assert other.keys() == one.keys()
    assert all(other[name] != one[name] for name in one)


@pytest.mark.parametrize("form", FORMS, ids=["vectors", "media"])
def test_it_is_a_good_data_set_in_both_formats(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: tuple[str, ...]
) -> None:
    assert make(tmp_path / "lines", *form) == 0
    assert make(tmp_path / "parquet", "--format", "parquet", *form) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'lines'}: {form[1]} streamers on ")
    one, two = load_dataset(tmp_path / "lines"), load_dataset(tmp_path / "parquet")
    assert one.profiles == two.profiles
    assert one.split.tolist() == two.split.tolist()
    assert one.labels == two.labels
    assert one.interactions is not None
    assert two.interactions is not None
    assert one.interactions.user_ids == two.interactions.user_ids
    assert abs(one.interactions.matrix - two.interactions.matrix).sum() == 0
    assert one.duplicates is not None
    assert two.duplicates is not None
    assert one.duplicates.tolist() == two.duplicates.tolist()
    assert main(["data", "validate", str(tmp_path / "lines")]) == 0
    assert main(["data", "validate", str(tmp_path / "parquet")]) == 0


def test_a_world_that_is_there_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make(tmp_path) == 0
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    capsys.readouterr()
    assert make(tmp_path) == 0
    assert "already holds this world" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == times


def test_nothing_is_overwritten_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*arguments: str) -> str:
        before = contents(tmp_path)
        assert make(tmp_path, *arguments) == 1
        assert contents(tmp_path) == before
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1
        return error

    (tmp_path / "mine.txt").write_text("mine")
    assert "holds other files (mine.txt, ...)" in refused()
    assert make(tmp_path, "--overwrite") == 0
    made = contents(tmp_path)
    assert made["mine.txt"] == b"mine"
    assert "another world" in refused("--seed", "1")
    assert "another world" in refused("--format", "parquet")
    assert "another world" in refused("--media")

    # An extra part would belong to no world: it is seen, and goes away when asked.
    (tmp_path / "relations.csv").write_text("streamer_id,related_id,weight\n")
    assert "files have changed" in refused()
    assert make(tmp_path, "--overwrite") == 0
    assert contents(tmp_path) == made


def test_wrong_calls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["world", "--out", str(tmp_path / "w"), "--streamers", "9"]) == 2
    assert "at least 10 streamers" in capsys.readouterr().err
    assert not (tmp_path / "w").exists()
    (tmp_path / "file").write_text("")
    assert make(tmp_path / "file") == 1
    assert make(tmp_path / "file" / "below") == 1
    for error in capsys.readouterr().err.splitlines():
        assert "Not a directory" in error
    with pytest.raises(SystemExit) as caught:
        main(["world", "--out", str(tmp_path), "--streamers", "many"])
    assert caught.value.code == 2
