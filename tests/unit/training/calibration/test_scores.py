"""From a fit to what the bundle promises; `test_real_data` sees whether the promise is kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_export.contract.calibration import Calibration
from model_export.contract.pieces import pieces_of
from training.calibration import (
    calibrate_content,
    calibrate_embedding,
    calibrate_embeddings,
    calibration_of,
    carry_over,
)
from training.config import TransferPlusConfig
from training.data import Dataset, load_dataset
from training.inference.load import load_checkpoint
from training.models.checkpoint import Checkpoint
from training.preparation.stage import Stage, prepare
from training.trainer.fit import Request, fit

pytestmark = pytest.mark.slow

QUICK = TransferPlusConfig(
    table_dim=32, dim=16, hidden_dim=32, batch_size=64, steps=10, evaluate_every=5, teacher_dim=16
)


@pytest.fixture(scope="module")
def small_world(small_world_folder: Path) -> Dataset:
    return load_dataset(small_world_folder)


@pytest.fixture(scope="module")
def stage(world: Dataset) -> Stage:
    pieces = [pieces_of(profile) for profile in world.profiles]
    return prepare(world, pieces, world.rows("train"), None, QUICK, seed=0, threads=1)


def test_a_fit_keeps_its_calibration_and_the_exporter_gets_it(world: Dataset, tmp_path: Path):
    checkpoint = fit(Request("transfer-plus", QUICK, 1, 1, tmp_path), world)
    stored = Calibration.model_validate(checkpoint.config["calibration"])
    assert load_checkpoint(tmp_path).calibration == stored
    assert "at least 2 users in common" in stored.embedding.source
    assert "its 95 % bounds are estimates" in stored.embedding.source
    assert stored.embedding.curves[0].knots[0].pairs >= 30
    assert 0 < (stored.embedding.base_rate or 0) < stored.embedding.curves[0].knots[0].precision
    assert 0 < stored.embedding.least_coverage <= 0.5
    assert stored.embedding.by_coverage[0].queries > stored.embedding.curves[0].queries
    assert stored.content.by_coverage == []
    assert "known duplicates" in stored.content.source
    assert stored.content.curves[0].knots[0].precision > 0.5
    old = {name: value for name, value in checkpoint.config.items() if name != "calibration"}
    replace(checkpoint, config=old).save(tmp_path)
    assert load_checkpoint(tmp_path).calibration is None


def test_shorter_widths_are_calibrated_apart(world: Dataset, tmp_path: Path):
    config = replace(QUICK, matryoshka="4,8")
    stage = prepare(
        world,
        [pieces_of(profile) for profile in world.profiles],
        world.rows("train"),
        None,
        config,
        seed=0,
        threads=1,
    )
    full, *shorter = calibrate_embeddings(stage)
    assert full == calibrate_embedding(stage)
    assert [measured.width for measured in shorter] == [4, 8]
    assert shorter[0] == calibrate_embedding(stage, 4)
    assert len({tuple(measured.scale) for measured in (full, *shorter)}) == 3
    found = calibration_of([full, *shorter], stage, refit=True)
    assert found.embedding == carry_over(full, stage)
    assert found.shorter == {str(each.width): carry_over(each, stage) for each in shorter}
    fit(Request("transfer-plus", config, 1, 1, tmp_path), world)
    source = load_checkpoint(tmp_path)
    assert source.dims == (4, 8)
    assert source.calibration is not None
    assert source.calibration.shorter.keys() == {"4", "8"}
    metrics = source.metrics
    assert 0 < metrics["test_seen_NDCG@20_d4"] < 1.2 * metrics["test_seen_NDCG@20"]


def test_without_a_refit_nothing_is_carried_over(small_world: Dataset, tmp_path: Path):
    once = replace(QUICK, refit=False)
    checkpoint = fit(Request("transfer-plus", once, 1, 1, tmp_path), small_world)
    source = checkpoint.config["calibration"]["embedding"]["source"]
    assert source.endswith("by an encoder that learned from train only")


def test_without_labels_there_is_a_reason_in_place_of_a_calibration(
    small_world: Dataset, tmp_path: Path
):
    bare = replace(small_world, labels=None, duplicates=None)
    split = np.where(bare.split == "val", "train", bare.split)
    checkpoint = fit(Request("transfer-plus", QUICK, 1, 1, tmp_path), replace(bare, split=split))
    stored = Calibration.model_validate(Checkpoint.load(tmp_path).config["calibration"])
    assert stored.embedding.curves == stored.content.curves == []
    assert "no validation streamers" in stored.embedding.source
    assert "no known duplicates" in stored.content.source
    assert checkpoint.metrics["validation_step"] == QUICK.steps


def test_what_is_carried_over_to_the_same_encoder_stays(stage: Stage):
    measured = calibrate_embedding(stage)
    again = carry_over(measured, stage)
    curves = [[*found.curves, *found.by_coverage] for found in (measured.scores, again)]
    for before, after in zip(*curves, strict=True):
        assert after.least_coverage == before.least_coverage
        for one, other in zip(before.knots, after.knots, strict=True):
            assert other.score == pytest.approx(one.score, abs=1e-6)
            assert other.at_least == one.at_least


def test_those_who_show_little_are_calibrated_apart_where_they_are_enough(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
):
    assert len(calibrate_embedding(stage).scores.curves) == 1
    monkeypatch.setattr("training.calibration.scores.FEWEST_QUERIES", 2)
    curves = calibrate_embedding(stage).scores.curves
    assert len(curves) > 2
    assert sum(curve.queries for curve in curves[1:]) == curves[0].queries
    assert [c.describe() for c in carry_over(calibrate_embedding(stage), stage).curves] == [
        c.describe() for c in curves
    ]


def test_too_few_pairs_are_told(stage: Stage):
    few = stage.dataset.rows("val")[2:]
    split = stage.dataset.split.copy()
    split[few] = "test"
    split[stage.dataset.rows("train")[9:]] = "test"
    found = calibrate_embedding(replace(stage, dataset=replace(stage.dataset, split=split))).scores
    assert found.curves == []
    assert found.source.startswith("none: ")


def test_test_streamers_play_no_part(stage: Stage):
    dataset = stage.dataset
    assert dataset.interactions is not None
    assert dataset.duplicates is not None
    cold = dataset.rows("test")
    matrix = dataset.interactions.matrix.tolil()
    matrix[cold] = 1
    duplicates = dataset.duplicates.copy()
    duplicates[cold] = duplicates[cold[0]]
    interactions = replace(dataset.interactions, matrix=matrix.tocsr())
    changed = replace(dataset, interactions=interactions, duplicates=duplicates)
    other = replace(stage, dataset=changed)
    assert calibrate_embedding(other) == calibrate_embedding(stage)
    assert calibrate_content(other) == calibrate_content(stage)
