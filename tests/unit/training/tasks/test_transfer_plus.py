"""`transfer-plus`: two branches, weighed on validation."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.training.small import TAUGHT, stage_of
from training.config import TransferPlusConfig
from training.data import Dataset
from training.preparation.stage import Stage, all_rows, embeddings
from training.progress import Progress
from training.tasks.recipes import held_out_task
from training.tasks.transfer_plus import TransferPlus
from training.trainer.loop import Settings, train

CONFIG = replace(TransferPlusConfig(**TAUGHT), steps=4, evaluate_every=2, kernel_landmarks=100)


@pytest.fixture(scope="module")
def prepared(world: Dataset) -> Stage:
    return stage_of(world, CONFIG)


@pytest.fixture
def stage(prepared: Stage) -> Stage:
    return replace(prepared, encoder=deepcopy(prepared.encoder))


def trained(stage: Stage, **changes: Any) -> TransferPlus:
    config = replace(CONFIG, **changes)
    task = TransferPlus(stage, config, held_out_task(stage, stage.dataset.rows("val")))
    settings = Settings.of(config, "select", "NDCG@20", 0)
    with Progress("train", 0) as progress:
        train(task, settings, None, progress)
    return task


@pytest.mark.slow
def test_the_embedding_is_the_one_that_validated_best(stage: Stage):
    task = trained(stage)
    held_out = held_out_task(stage, stage.dataset.rows("val"))
    assert task.choices["kernel_share"] in {0.0, 0.25, 0.5, 0.75, 1.0}
    assert held_out.ndcg(embeddings(stage)) == pytest.approx(task.validate(), abs=1e-6)


@pytest.mark.slow
def test_only_what_is_asked_or_searched_is_embedded_for_validation(stage: Stage):
    held_out = held_out_task(stage, stage.dataset.rows("val"))
    few, rows = held_out.among()
    z = embeddings(stage)
    assert len(rows) < len(z)
    assert few.ndcg(z[rows]) == pytest.approx(held_out.ndcg(z), abs=1e-9)


def test_a_stage_without_validation_takes_what_was_chosen(stage: Stage):
    task = TransferPlus(stage, CONFIG, None)
    task.choices = {"kernel_share": 1.0}
    task.finish()
    encoder, some = stage.encoder, task.rows[:50]
    branches = all_rows(encoder, encoder.branches, stage.bags, stage.usable, some)
    v = branches[:, CONFIG.dim :]
    z = embeddings(stage, some)
    np.testing.assert_allclose(z @ z.T, v @ v.T, atol=0.02)  # D of D dimensions, rotated


def test_the_kernel_branch_learns_at_a_rate_of_its_own(stage: Stage):
    before = deepcopy(stage.encoder.state_dict())
    trained(stage, kernel_learning_rate=1e-12, kernel_weight_decay=0.0, steps=2)
    after = stage.encoder.state_dict()
    torch.testing.assert_close(
        after["kernel.projection"], before["kernel.projection"], atol=1e-6, rtol=0
    )
    assert not torch.equal(after["kernel.layer.dual"], torch.zeros(()))


def test_without_landmarks_there_is_one_branch(world: Dataset):
    config = replace(CONFIG, kernel_landmarks=0)
    stage = stage_of(world, config)
    assert stage.encoder.kernel is None
    task = TransferPlus(stage, config, held_out_task(stage, world.rows("val")))
    assert set(task.losses(0)) == {"contrast_loss", "regression_loss"}
    task.finish()
    assert "kernel_share" not in task.choices
