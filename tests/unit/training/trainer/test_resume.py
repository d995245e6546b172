"""A fit that was stopped anywhere goes on to the same result, whatever the recipe."""

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.training.trainer.parallel_worker import tiny
from training.baselines import TowerChoice
from training.commands.cli import main
from training.data import Dataset, load_dataset
from training.errors import CheckpointError
from training.models.checkpoint import Checkpoint, is_finished, load_state, save_state
from training.models.distributed import Compute
from training.tasks.recipes import RECIPES
from training.trainer import loop as train
from training.trainer.fit import Request, fit, one_fit

pytestmark = pytest.mark.slow

CASES = [*((name, "float32") for name in RECIPES), ("kd-soft", "bfloat16")]


class Stopped(BaseException):
    """As sudden as a kill: what is not on disk by then is lost."""


@pytest.fixture(scope="module")
def tiny_world(tiny_world_folder: Path) -> Dataset:
    return load_dataset(tiny_world_folder)


@pytest.mark.parametrize(("recipe", "precision"), CASES)
def test_stopped_in_the_refit_it_goes_on_to_the_same_result(
    tiny_world: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recipe: str,
    precision: Any,
):
    # With nobody to validate on, all steps are made, four to choose and four in the refit.
    dataset = replace(
        tiny_world, split=np.where(tiny_world.split == "val", "train", tiny_world.split)
    )
    config = replace(tiny(recipe), steps=4, evaluate_every=2, dropout=0.2)
    compute = Compute(precision=precision)
    whole, stopped = (
        Request(recipe, config, 1, 1, tmp_path / name, save_every_s=0, compute=compute)
        for name in ("whole", "stopped")
    )
    made, update = 0, train.update

    def update_and_copy(*args: Any) -> dict[str, float]:
        nonlocal made
        made += 1
        if made == 8:  # the state was kept after seven, between two validations
            shutil.copytree(whole.out, stopped.out)  # what a kill would leave on disk
        return update(*args)

    monkeypatch.setattr(train, "update", update_and_copy)
    fit(whole, dataset)
    assert not is_finished(stopped.out)
    fit(stopped, dataset)
    assert made == 9  # the eighth twice
    one, other = Checkpoint.load(stopped.out), Checkpoint.load(whole.out)
    assert one.config == other.config
    assert all(torch.equal(one.tensors[name], other.tensors[name]) for name in other.tensors)


def test_all_sessions_and_trials_of_towers_are_part_of_the_time_it_took(
    tiny_world: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    ahead = 0.0

    def tried(*_: Any) -> TowerChoice:
        nonlocal ahead
        ahead += 1000
        return TowerChoice("", "none is installed")

    clock = SimpleNamespace(
        monotonic=lambda: time.monotonic() + ahead, perf_counter=time.perf_counter
    )
    monkeypatch.setattr("training.trainer.fit.choose_text_tower", tried)
    for module in ("fit", "loop"):
        monkeypatch.setattr(f"training.trainer.{module}.time", clock)
    update = train.update

    def update_or_stop(*args: Any) -> dict[str, float]:
        if args[-1] == 3:
            raise Stopped
        return update(*args)

    monkeypatch.setattr(train, "update", update_or_stop)
    config = replace(tiny("masked-views"), steps=4, evaluate_every=2, text_tower="auto")
    request = Request("masked-views", config, 1, 1, tmp_path / "out", save_every_s=0)
    with pytest.raises(Stopped):
        fit(request, tiny_world)
    tensors, progress = load_state(request.out) or ({}, {})
    assert 1000 <= progress["seconds"] < 2000
    save_state(request.out, tensors, progress | {"seconds": 50_000.0})
    monkeypatch.setattr(train, "update", update)
    fit(request, tiny_world)
    assert 51_000 <= Checkpoint.load(request.out).metrics["fit_seconds"] < 52_000


def test_a_folder_is_used_by_one_fit_at_a_time(
    tiny_world_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    request = Request("masked-views", tiny("masked-views"), 1, 1, tmp_path / "out")
    words = ["fit", "--recipe", "masked-views", "--data", str(tiny_world_folder)]
    with one_fit(request):
        assert main([*words, "--out", str(request.out), "--overwrite"]) == 1
    assert f"{request.out} is in use by another fit; wait, or" in capsys.readouterr().err
    assert [path.name for path in request.out.iterdir()] == [".lock"]
    with one_fit(request):
        pass


def test_a_checkpoint_on_a_read_only_disk_is_told_to_be_trained(
    tiny_world_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    out, settings = tmp_path / "out", ("--set=steps=2", "--set=refit=false")
    words = ["fit", "--recipe", "masked-views", "--data", str(tiny_world_folder), "--out", str(out)]
    assert main([*words, *settings]) == 0
    (out / ".lock").unlink()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert main([*words, *settings]) == 0
    assert "is already trained" in capsys.readouterr().out
    assert not (out / ".lock").exists()


def test_the_trackers_of_another_fit_are_left_alone(
    tiny_world: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    request = Request("masked-views", tiny("masked-views"), 1, 1, tmp_path / "out")
    save_state(request.out, {}, {"run": "another"})
    monkeypatch.setattr("training.trainer.fit.open_tracking", lambda *_: pytest.fail("opened"))
    with pytest.raises(CheckpointError, match="unfinished fit with other settings or data"):
        fit(request, tiny_world)
