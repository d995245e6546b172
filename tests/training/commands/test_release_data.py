"""Held-out streamers get copies in disguises that are known by name; the folder stays valid."""

import csv
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
    assert "choose another folder" in capsys.readouterr().err
