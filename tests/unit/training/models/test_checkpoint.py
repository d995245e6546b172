import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model_export.contract.established import Established
from tests.unit.training.profiles import vocabulary
from training.errors import CheckpointError, OutputError
from training.inference.load import load_checkpoint
from training.models.checkpoint import (
    STATE,
    Checkpoint,
    is_finished,
    load_state,
    make_folder,
    save_state,
    write_atomically,
)

VECTORS = np.arange(6, dtype=np.float32).reshape(2, 3)
ESTABLISHED = Established(["a", "b"], VECTORS)


def checkpoint() -> Checkpoint:
    tensors = {"table": torch.arange(6.0).reshape(2, 3), "signs": torch.ones(2, dtype=torch.int8)}
    return Checkpoint(tensors, vocabulary(), {"recipe": "r"}, {"m": 0.5}, ESTABLISHED)


def test_what_was_saved_is_read(tmp_path: Path):
    checkpoint().save(tmp_path / "c")
    found = Checkpoint.load(tmp_path / "c")
    assert all(torch.equal(found.tensors[n], t) for n, t in checkpoint().tensors.items())
    assert found.vocabulary == vocabulary()
    assert (found.config, found.metrics) == ({"recipe": "r"}, {"m": 0.5})
    assert found.established is not None
    assert found.established.ids == ["a", "b"]
    np.testing.assert_array_equal(found.established.vectors, VECTORS)


def test_saving_removes_what_an_earlier_one_had(tmp_path: Path):
    checkpoint().save(tmp_path)
    save_state(tmp_path, {"x": torch.zeros(1)}, {})
    alone = checkpoint()
    Checkpoint(alone.tensors, alone.vocabulary, {}, {}).save(tmp_path)
    assert Checkpoint.load(tmp_path).established is None
    assert not (tmp_path / STATE).exists()


def test_the_state_comes_back_with_its_progress(tmp_path: Path):
    assert load_state(tmp_path) is None
    save_state(tmp_path, {"x": torch.arange(3)}, {"step": 7, "history": [[0, 0.5]]})
    tensors, progress = load_state(tmp_path) or ({}, {})
    assert tensors["x"].tolist() == [0, 1, 2]
    assert progress == {"step": 7, "history": [[0, 0.5]]}
    assert not is_finished(tmp_path)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "vocabulary.json", "config.json", "established.npz"]
)
def test_a_damaged_file_is_told(tmp_path: Path, name: str):
    checkpoint().save(tmp_path)
    file = tmp_path / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=r"is damaged .* train it again"):
        load_checkpoint(tmp_path)


def test_a_missing_file_is_told(tmp_path: Path):
    checkpoint().save(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load_checkpoint(tmp_path)


def test_one_of_an_earlier_release_is_told(tmp_path: Path):
    checkpoint().save(tmp_path)
    (tmp_path / "learned_from.txt").unlink()
    with pytest.raises(
        CheckpointError, match=r"was written by an earlier release and .* train it again"
    ):
        load_checkpoint(tmp_path)


def test_a_setting_that_was_removed_is_told(tmp_path: Path):
    alone = replace(checkpoint(), config={"config": {"fusion": "transformer"}})
    alone.save(tmp_path)
    vocabulary_file = tmp_path / "vocabulary.json"  # with a field that 0.1.0 wrote beside it
    stored = json.loads(vocabulary_file.read_text())
    vocabulary_file.write_text(json.dumps({**stored, "pieces_apart": True}))
    with pytest.raises(CheckpointError, match=r"fusion=transformer, which was removed .* again"):
        load_checkpoint(tmp_path)


def test_a_damaged_state_is_told(tmp_path: Path):
    save_state(tmp_path, {"x": torch.zeros(100)}, {})
    (tmp_path / STATE).write_bytes((tmp_path / STATE).read_bytes()[:60])
    with pytest.raises(CheckpointError, match="start over with --overwrite"):
        load_state(tmp_path)


def test_a_folder_that_is_no_checkpoint_is_told(tmp_path: Path):
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "nothing")


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path):
    (tmp_path / "streamers.jsonl").write_text("")
    with pytest.raises(OutputError, match=r"holds other files \(streamers.jsonl"):
        make_folder(tmp_path)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path):
    file = tmp_path / "f"
    write_atomically(file, b"old")

    def fails(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left on device"):
        write_atomically(file, fails)
    assert file.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
