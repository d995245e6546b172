from dataclasses import replace

import numpy as np
import pytest

from model_export.contract.pieces import pieces_of
from training.config import RecipeConfig
from training.data import Dataset
from training.evaluation.metrics import pairwise_f1
from training.inference import duplicate_threshold as duplicates
from training.inference.duplicate_threshold import (
    DEFAULT_THRESHOLD,
    Sketches,
    best_threshold,
    calibrate_duplicates,
    content_sketches,
    f1_at,
)
from training.preparation.stage import Stage, prepare


@pytest.fixture(scope="module")
def stage(world: Dataset) -> Stage:
    pieces = [pieces_of(profile) for profile in world.profiles]
    config = RecipeConfig(dim=16, table_dim=32, hidden_dim=16)
    return prepare(world, pieces, world.rows("train", "val"), None, config, seed=0, threads=1)


def test_the_threshold_is_the_best_of_all_cuts():
    rng = np.random.default_rng(0)
    cosines = rng.random(200).astype(np.float32)
    is_true = rng.random(200) < cosines**4
    found = best_threshold(cosines, is_true, int(is_true.sum()) + 5)

    def f1(cut: float) -> float:
        hits = int(is_true[cosines >= cut].sum())
        return 2 * hits / (int((cosines >= cut).sum()) + int(is_true.sum()) + 5)

    assert f1(found) == pytest.approx(max(f1(float(cut)) for cut in cosines))


def test_the_threshold_lies_between_the_last_hit_and_the_next():
    cosines, is_true = np.array([0.9, 0.8, 0.4], np.float32), np.array([True, True, False])
    assert best_threshold(cosines, is_true, 2) == pytest.approx(0.6)


def test_equal_cosines_are_not_parted():
    """The best cut by order alone lies among the four equal ones, of which one is right."""
    cosines = np.array([0.9, 0.8, 0.8, 0.8, 0.8, 0.4], np.float32)
    is_true = np.array([True, True, False, False, False, False])
    assert best_threshold(cosines, is_true, 2) == pytest.approx(0.85)
    assert best_threshold(np.full(3, 0.5, np.float32), is_true[:3], 2) == pytest.approx(0.5)


def test_f1_counts_all_pairs_of_the_rows():
    content = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0.6, 0.8]], np.float32)
    groups = np.array([0, 0, 1, 1, 1])
    expected = pairwise_f1(2, 2, 4)  # (0, 1), (2, 3) of these, (2, 4), (3, 4)
    assert f1_at(0.9, np.arange(5), groups, content) == expected
    assert f1_at(0.7, np.arange(5), groups, content) == 1
    assert f1_at(0.9, np.array([0, 1]), groups, content) == 1


@pytest.mark.slow
def test_copied_accounts_of_a_world_are_found(stage: Stage):
    threshold = calibrate_duplicates(stage)
    assert "known duplicate pairs" in threshold.source
    assert threshold.metrics["duplicate_f1_all"] >= 0.95
    assert 0.3 < threshold.value < 0.95


@pytest.mark.slow
def test_test_pairs_play_no_part_in_the_threshold(stage: Stage):
    groups = stage.dataset.duplicates
    assert groups is not None
    shuffled = groups.copy()
    cold = stage.dataset.rows("test")
    shuffled[cold] = groups.max() + 1 + np.arange(len(cold))
    other = replace(stage, dataset=replace(stage.dataset, duplicates=shuffled))
    assert calibrate_duplicates(other).value == calibrate_duplicates(stage).value


def test_without_known_duplicates_the_default_says_that_it_is_one(stage: Stage):
    none_known = replace(stage, dataset=replace(stage.dataset, duplicates=None))
    threshold = calibrate_duplicates(none_known)
    assert threshold.value == DEFAULT_THRESHOLD
    assert "not calibrated" in threshold.source
    assert threshold.metrics == {}


def test_sketches_are_of_the_rows_asked_for(stage: Stage):
    everyone = np.flatnonzero(stage.usable)
    expected = content_sketches(stage, everyone)
    np.testing.assert_allclose(np.linalg.norm(expected, axis=1), 1, atol=1e-3)
    sketches = Sketches(stage)
    for some in (np.arange(5, len(everyone), 7), np.arange(5, 100), np.arange(4, 60, 3)):
        np.testing.assert_allclose(sketches(everyone[some]), expected[some], atol=1e-5)


def test_a_large_set_is_represented_by_whole_groups(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(duplicates, "_MOST_COMPARED", 150)
    groups = stage.dataset.duplicates
    assert groups is not None
    rows = duplicates._compared(groups, stage.usable, seed=1)
    assert 100 < len(rows) < 200
    drawn = np.isin(groups, groups[rows])
    assert set(rows) == set(np.flatnonzero(drawn & stage.usable))
    assert "known duplicate pairs" in calibrate_duplicates(stage).source
