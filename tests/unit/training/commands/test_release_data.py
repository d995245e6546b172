"""Held-out streamers get copies in disguises that are known by name; the folder stays valid."""

import csv
import errno
import json
from collections import Counter
from pathlib import Path

import pytest

from training.commands.cli import main
from training.disguises import KINDS
from training.world.world import MIN_STREAMERS


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_held_out_streamers_get_copies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world, out = tmp_path / "world", tmp_path / "out"
    assert main(["world", "--out", str(world), "--streamers", str(max(400, MIN_STREAMERS))]) == 0
    given = ["release-data", "--data", str(world), "--out", str(out), "--copies", "5"]
    assert main(given) == 0
    assert main(["data", "validate", str(out)]) == 0
    splits = {row["streamer_id"]: row["split"] for row in rows(out, "splits")}
    groups = {row["streamer_id"]: row["group"] for row in rows(out, "duplicates")}
    disguised = [row for row in rows(out, "duplicates") if row["disguise"]]
    counts = Counter(row["disguise"] for row in disguised)
    assert counts.keys() <= set(KINDS)
    assert counts["zero_width"] == counts["shuffled_sentences"] == 5
    members = Counter(groups.values())
    assert all(members[row["group"]] > 1 for row in disguised)
    assert all(splits[row["streamer_id"]] == "test" for row in disguised)
    lines = (out / "streamers.jsonl").read_text(encoding="utf-8").splitlines()
    ids = [json.loads(line)["streamer_id"] for line in lines]
    assert len(ids) == len(set(ids)) == len(splits)
    assert rows(out, "interactions") == rows(world, "interactions")
    capsys.readouterr()
    assert main(given) == 1
    assert "exists already; choose another --out" in capsys.readouterr().err


def released(data: Path, out: Path) -> int:
    return main(["release-data", "--data", str(data), "--out", str(out), "--copies", "1"])


def test_copies_of_copies_have_ids_of_their_own(small_world_folder: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert released(small_world_folder, first) == 0
    assert released(first, second) == 0
    assert main(["data", "validate", str(second)]) == 0
    names = [{row["streamer_id"] for row in rows(folder, "splits")} for folder in (first, second)]
    assert names[0] < names[1]


def test_nothing_is_left_of_a_folder_that_can_not_be_written(
    small_world_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("training.commands.release_data._table", full)
    out = tmp_path / "out"
    assert released(small_world_folder, out) == 1
    assert f"--out {out} can't be written: No space left on device" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
