"""`transfer-plus` above the number of streamers of which all pairs are compared."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest

from tests.unit.training.small import TAUGHT, make_steps, stage_of
from training.config import TransferPlusConfig
from training.data import Dataset
from training.mining import positives
from training.numeric import nearest
from training.preparation.stage import Stage
from training.tasks.transfer_plus import TransferPlus
from training.teachers.id_embeddings import handed_over

CONFIG = TransferPlusConfig(**TAUGHT, neighbours=10, hard_negatives=5)


@pytest.fixture(params=["shared", "private"])
def stage(request: pytest.FixtureRequest, world: Dataset) -> Stage:
    config = replace(CONFIG, clicks=request.param)
    return stage_of(handed_over(world, config, seed=0, threads=1), config)


def build(stage: Stage) -> TransferPlus:
    return TransferPlus(replace(stage, encoder=deepcopy(stage.encoder)), CONFIG, None)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Mean share of the entries from 0 on that are in both rows."""
    shares = [np.isin(a[a >= 0], b).mean() for a, b in zip(one, other, strict=True) if a[0] >= 0]
    return float(np.mean(shares))


@pytest.mark.slow
def test_positives_and_hard_negatives_are_nearly_the_same(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
):
    exact = build(stage)
    for module in (nearest, positives):
        monkeypatch.setattr(module, "EXACT_UP_TO", 50)
    found = build(stage)
    one, other = exact._positives, found._positives
    assert one.near.shape == other.near.shape
    assert overlap(one.near, other.near) >= 0.95
    if stage.config.clicks == "shared":  # nobody watches enough to be counted by a sample
        np.testing.assert_array_equal(one.near[:, :10], other.near[:, :10])
        assert exact._hard.there.sum() > 30
        assert overlap(exact._hard.table, found._hard.table) >= 0.9
    assert all(np.isfinite(value) for losses in make_steps(found, 2) for value in losses.values())
