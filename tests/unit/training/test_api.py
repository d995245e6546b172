"""What Python code calls does what the commands do."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.training.small import SMALL
from tests.unit.training.tracking.recorded import steps
from training import api
from training.commands.cli import main
from training.errors import CheckpointError, LeakError, UsageError
from training.models.checkpoint import Checkpoint

SETTINGS: dict[str, Any] = SMALL | {"steps": 4, "evaluate_every": 2}


@pytest.fixture(scope="module")
def data(tiny_world_folder: Path) -> api.Dataset:
    return api.load_dataset(tiny_world_folder)


@pytest.fixture(scope="module")
def checkpoint(data: api.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("api") / "checkpoint"
    fitted = api.fit(data, folder, "masked-views", SETTINGS, seed=3)
    assert fitted.config["seed"] == 3
    return folder


@pytest.mark.slow
def test_a_fit_is_recorded_and_is_loaded_the_second_time(data: api.Dataset, checkpoint: Path):
    assert steps(checkpoint, "select") == [0, 2, 4]
    written = (checkpoint / "metrics.json").stat().st_mtime_ns
    again = api.fit(data, checkpoint, "masked-views", SETTINGS, seed=3)
    assert again.metrics == json.loads((checkpoint / "metrics.json").read_text())
    assert (checkpoint / "metrics.json").stat().st_mtime_ns == written
    with pytest.raises(CheckpointError, match="other seed; choose another --out"):
        api.fit(data, checkpoint, "masked-views", SETTINGS, seed=4)


@pytest.mark.slow
def test_embeddings_are_unit_rows_and_zero_without_content(data: api.Dataset, checkpoint: Path):
    empty = data.profiles[0].model_construct(streamer_id="empty")
    found = api.embed(checkpoint, [*data.profiles[:3], empty])
    assert found.shape == (4, SETTINGS["dim"])
    np.testing.assert_allclose(np.linalg.norm(found[:3], axis=1), 1, atol=1e-3)
    assert not found[3].any()


@pytest.mark.slow
def test_an_evaluation_is_that_of_the_command(data: api.Dataset, checkpoint: Path, tmp_path: Path):
    evaluation = api.evaluate(checkpoint, data)
    out = tmp_path / "metrics.json"
    arguments = ["evaluate", "--data", str(data.folder), "--checkpoint", str(checkpoint)]
    assert main([*arguments, "--out", str(out)]) == 0
    assert evaluation.summary == json.loads(out.read_text())["summary"]
    with pytest.raises(LeakError, match="the refit learned from val"):
        api.evaluate(checkpoint, data, "val")


@pytest.mark.slow
def test_the_config_of_a_checkpoint_repeats_its_fit(
    data: api.Dataset, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    config = ["fit", "--data", str(data.folder), "--config", str(checkpoint / "config.json")]
    config += ["--threads", "1", "--out"]
    assert main([*config, str(tmp_path / "same")]) == 0
    one, other = Checkpoint.load(checkpoint), Checkpoint.load(tmp_path / "same")
    assert one.config == other.config
    assert all(torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)
    # Options count more than the file.
    options = ["--set", "steps=0", "--seed", "8", "--recipe", "masked-views"]
    assert main([*config, str(tmp_path / "other"), *options]) == 0
    changed = Checkpoint.load(tmp_path / "other").config
    assert (changed["seed"], changed["config"]) == (8, {**one.config["config"], "steps": 0})
    capsys.readouterr()
    assert main([*config, str(tmp_path / "mlm"), "--recipe", "mlm"]) == 2
    assert "config.json: contrast: unknown; the valid names are dim" in capsys.readouterr().err


@pytest.mark.slow
def test_it_starts_from_another_checkpoint_and_is_tracked(data: api.Dataset, tmp_path: Path):
    settings = SETTINGS | {"refit": False}
    api.fit(data, tmp_path / "a", "masked-views", settings)
    more: dict[str, Any] = {"init_from": tmp_path / "a", "track": ["tensorboard"]}
    later = api.fit(data, tmp_path / "b", "masked-views", settings | {"warm_up": 0.5}, **more)
    assert later.config["init_from"]["recipe"] == "masked-views"
    assert list((tmp_path / "b" / "tensorboard" / "select").iterdir())


def test_a_wrong_setting_is_named(data: api.Dataset, tmp_path: Path):
    with pytest.raises(UsageError, match=r"^settings: stepz: unknown; the valid names are"):
        api.fit(data, tmp_path, "mlm", {"stepz": 1})
    with pytest.raises(UsageError, match="magic: unknown; the recipes are"):
        api.fit(data, tmp_path, "magic")
    with pytest.raises(UsageError, match=r"tracker 'wandb' is unknown; there are mlflow, tens"):
        api.fit(replace(data), tmp_path / "c", "mlm", SMALL, track=["wandb"])
