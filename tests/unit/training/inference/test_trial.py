import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model_export.contract.streamer import StreamerProfile
from model_export.errors import SourceError
from training.data import Dataset, load_dataset
from training.data.streamers import StreamerFile
from training.evaluation.setting import setting_of
from training.inference import trial
from training.inference.trial import load_trial


def test_validation_streamers_search_training_streamers(world: Dataset, world_folder: Path):
    task = setting_of(world, "val").seen
    assert task is not None
    whole = load_trial(world_folder, 10_000)
    split = dict(zip(world.ids, world.split, strict=True))
    assert {split[p.streamer_id] for p in whole.queries} == {"val"}
    assert {split[p.streamer_id] for p in whole.gallery} == {"train"}
    assert len(whole.queries) == len(task.queries)
    assert len(whole.gallery) == len(task.gallery)
    row_of = {name: row for row, name in enumerate(world.ids)}
    place_of = {int(row): place for place, row in enumerate(task.queries)}
    for profile, found in zip(whole.queries, whole.relevant, strict=True):
        wanted = task.gallery[task.relevant[place_of[row_of[profile.streamer_id]]]]
        assert {whole.gallery[i].streamer_id for i in found} == {world.ids[row] for row in wanted}


def test_fewer_are_drawn_and_each_has_somebody_to_find(world_folder: Path):
    small = load_trial(world_folder, 80)
    assert len(small.queries) <= 20
    assert len(small.queries) + len(small.gallery) <= 80
    assert all(len(found) for found in small.relevant)
    assert all(np.all(found < len(small.gallery)) for found in small.relevant)
    again = load_trial(world_folder, 80)
    assert [p.streamer_id for p in again.gallery] == [p.streamer_id for p in small.gallery]


def test_a_large_set_is_read_once(world_folder: Path, monkeypatch: pytest.MonkeyPatch):
    passes = list[int]()

    class Counted(StreamerFile):
        def pick(self, places: NDArray[np.int64]) -> Iterator[StreamerProfile]:
            passes.append(len(places))
            return super().pick(places)

    kept = load_trial(world_folder, 80)
    monkeypatch.setattr("training.data.streamers.StreamerFile", Counted)
    monkeypatch.setattr(trial, "load_dataset", partial(load_dataset, in_memory=1))
    read = load_trial(world_folder, 80)
    assert (read.queries, read.gallery) == (kept.queries, kept.gallery)
    assert len(passes) == 1


def test_what_can_not_be_judged_by(tmp_path: Path):
    with pytest.raises(SourceError, match="streamers"):
        load_trial(tmp_path, 80)
    (tmp_path / "streamers.jsonl").write_text(
        "\n".join(f'{{"streamer_id": "s{i}", "bio": "a"}}' for i in range(40))
    )
    with pytest.raises(SourceError, match="has no interactions, relations or ID-embeddings"):
        load_trial(tmp_path, 80)


def test_without_a_validation_split_there_is_no_trial(world_folder: Path, tmp_path: Path):
    folder = tmp_path / "data"
    shutil.copytree(world_folder, folder)
    splits = (folder / "splits.csv").read_text()
    (folder / "splits.csv").write_text(splits.replace(",val\n", ",train\n"))
    with pytest.raises(SourceError, match="no streamers in split val"):
        load_trial(folder, 80)
