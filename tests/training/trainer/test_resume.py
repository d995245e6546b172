"""A fit that was stopped anywhere goes on to the same result, whatever the recipe."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.trainer.parallel_worker import tiny
from training.data import load_dataset
from training.models.checkpoint import Checkpoint, is_finished
from training.models.distributed import Compute
from training.tasks.recipes import RECIPES
from training.trainer import loop as train
from training.trainer.fit import Request, fit

pytestmark = pytest.mark.slow

CASES = [*((name, "float32") for name in RECIPES), ("kd-soft", "bfloat16")]


class Stopped(BaseException):
    """As sudden as a kill: what is not on disk by then is lost."""


@pytest.mark.parametrize(("recipe", "precision"), CASES)
def test_stopped_in_the_refit_it_goes_on_to_the_same_result(
    small_world_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recipe: str,
    precision: Any,
):
    world = load_dataset(small_world_folder)
    # With nobody to validate on, all steps are made, four to choose and four in the refit.
    dataset = replace(world, split=np.where(world.split == "val", "train", world.split))
    config = replace(tiny(recipe), steps=4, evaluate_every=2, dropout=0.2)
    compute = Compute(precision=precision)
    whole, stopped = (
        Request(recipe, config, 1, 1, tmp_path / name, save_every_s=0, compute=compute)
        for name in ("whole", "stopped")
    )
    fit(whole, dataset)

    made, update = 0, train.update

    def update_or_stop(*args: Any) -> dict[str, float]:
        nonlocal made
        made += 1
        if made == 8:  # its state was kept after six
            raise Stopped
        return update(*args)

    monkeypatch.setattr(train, "update", update_or_stop)
    with pytest.raises(Stopped):
        fit(stopped, dataset)
    assert not is_finished(stopped.out)
    fit(stopped, dataset)
    assert made == 10  # eight, the one that stopped it, and the one before again
    one, other = Checkpoint.load(stopped.out), Checkpoint.load(whole.out)
    assert one.config == other.config
    assert all(torch.equal(one.tensors[name], other.tensors[name]) for name in other.tensors)
