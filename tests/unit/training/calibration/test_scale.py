from dataclasses import replace

import numpy as np
import pytest
import torch

from model_export.contract.pieces import pieces_of
from tests.support.bundles import curve
from training.calibration.scale import carried_over, score_scale
from training.config import RecipeConfig
from training.data import Dataset
from training.preparation.stage import Stage, all_rows, prepare


@pytest.fixture(scope="module")
def stage(world: Dataset) -> Stage:
    pieces = [pieces_of(profile) for profile in world.profiles]
    config = RecipeConfig(dim=16, table_dim=32, hidden_dim=16)
    return prepare(world, pieces, world.rows("train"), None, config, seed=0, threads=1)


@pytest.mark.slow
def test_a_scale_is_what_shares_of_the_pairs_of_training_streamers_reach(stage: Stage):
    scale = score_scale(stage)
    rows = stage.dataset.rows("train")
    rows = rows[stage.usable[rows]]
    vectors = all_rows(stage.encoder, stage.encoder.embed, stage.bags, stage.usable, rows)
    scores = (vectors @ vectors.T)[~np.eye(len(rows), dtype=bool)]
    assert scale == sorted(scale)
    assert scale[0] == pytest.approx(scores.min())
    for place in (40, 120):
        share = np.geomspace(1, 1e-5, 200)[place]
        assert (scores >= scale[place]).mean() == pytest.approx(share, rel=0.1)


def test_thresholds_move_with_the_scale():
    before = np.linspace(-0.5, 0.9, 50)
    after = before**3 / 2
    measured = curve(1, None, (0.95, 0.9, 0.9), (0.8, 0.8, 0.7), (0.1, 0.5, 0.4), (-0.6, 0.3, 0.2))
    moved = carried_over(measured, before.tolist(), after.tolist())
    scores = [knot.score for knot in moved.knots]
    expected = [0.9**3 / 2 + 0.05, 0.8**3 / 2, 0.1**3 / 2, -(0.5**3) / 2 - 0.1]
    assert scores == pytest.approx(expected, abs=2e-3)
    assert [k.at_least for k in moved.knots] == [k.at_least for k in measured.knots]


def test_thresholds_that_fall_together_keep_the_lower_promise():
    flat = [0.0, 0.5, 0.5, 1.0]
    measured = curve(1, None, (0.9, 0.9, 0.9), (0.5625, 0.8, 0.7), (0.5, 0.5, 0.4))
    moved = carried_over(measured, [0.0, 0.4, 0.6, 1.0], flat)
    assert [k.score for k in moved.knots] == pytest.approx([0.875, 0.5])
    assert [k.at_least for k in moved.knots] == [0.9, 0.4]


@torch.no_grad()
def test_an_encoder_whose_scores_are_higher_has_higher_thresholds(stage: Stage):
    before = score_scale(stage)
    shifted = prepare(stage.dataset, stage.pieces, stage.known, None, replace(stage.config), 0, 1)
    last = shifted.encoder.mlp[-1]
    assert isinstance(last, torch.nn.Linear)
    last.bias.add_(0.2)  # all vectors turn to one side
    after = score_scale(shifted)
    measured = curve(1, None, (0.6, 0.9, 0.8), (0.3, 0.8, 0.7))
    moved = carried_over(measured, before, after)
    for one, other in zip(measured.knots, moved.knots, strict=True):
        assert other.score > one.score
