"""What the recipes share that learn from a teacher, and what the distilling ones do with it."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model_export.contract.bundle import Bundle
from model_export.export import export_bundle
from tests.unit.training.small import TAUGHT, make_steps, stage_of
from training.config import (
    KdFeatureConfig,
    KdPseudoLabelConfig,
    KdRkdConfig,
    KdSoftConfig,
    TeacherConfig,
    TransferConfig,
    TransferPlusConfig,
)
from training.data import Dataset, load_dataset
from training.errors import DataError, UsageError
from training.inference.load import load_checkpoint
from training.models.encoder import StreamerEncoder
from training.preparation.stage import Stage
from training.tasks.distillation import KdFeature, KdPseudoLabel, KdRkd, KdSoft
from training.tasks.recipes import RECIPES
from training.tasks.transfer_plus import TransferPlus
from training.teachers.id_embeddings import Teacher
from training.teachers.label_noise import NoiseEstimate
from training.trainer.fit import Request, fit

QUICK: dict[str, Any] = TAUGHT | {"steps": 2, "evaluate_every": 1}
CONFIGS: dict[str, TeacherConfig] = {
    "kd-feature": KdFeatureConfig(**QUICK),
    "kd-soft": KdSoftConfig(**QUICK),
    "kd-pseudo-label": KdPseudoLabelConfig(**QUICK),
    "kd-rkd": KdRkdConfig(**QUICK),
    "transfer": TransferConfig(**QUICK, pretrain_steps=1),
}

EXPORTED = "kd-pseudo-label"
"""One that was trained with a head of its own: exporting looks at the encoder, alike for all."""


@pytest.fixture(scope="module")
def prepared(world: Dataset) -> Stage:
    return stage_of(world, TeacherConfig(**TAUGHT))


@pytest.fixture
def stage(prepared: Stage) -> Stage:
    return replace(prepared, encoder=deepcopy(prepared.encoder))


@pytest.fixture(scope="module")
def tiny(tiny_world_folder: Path) -> Dataset:
    return load_dataset(tiny_world_folder)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", CONFIGS)
def test_a_recipe_ends_as_a_source_of_a_bundle(tiny: Dataset, tmp_path: Path, recipe: str):
    request = Request(recipe, CONFIGS[recipe], seed=0, threads=1, out=tmp_path / "checkpoint")
    metrics = fit(request, tiny).metrics
    assert 0 < metrics["validation_NDCG@20"] <= 1
    source = load_checkpoint(tmp_path / "checkpoint")
    assert type(source.module) is StreamerEncoder  # whatever heads it was trained with
    assert source.recipe == recipe
    assert source.id_space is not None
    assert source.id_space.dim == 8
    if recipe == EXPORTED:
        manifest = export_bundle(source, tmp_path / "bundle")
        assert Bundle(tmp_path / "bundle").manifest == manifest
        assert (manifest.recipe, manifest.id_space) == (recipe, source.id_space)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", CONFIGS)
def test_every_recipe_predicts_id_embeddings(stage: Stage, recipe: str):
    task = RECIPES[recipe].build(stage, CONFIGS[recipe], None)
    assert stage.teacher is not None
    task.finish()
    assert stage.encoder.id_head is not None
    warm = stage.usable[stage.teacher.rows]
    with torch.no_grad():
        z = stage.encoder.eval().embed(stage.bags.take(stage.teacher.rows[warm]))
        predicted = (stage.encoder.id_head(z) * stage.encoder.id_scale).numpy()
    true = stage.teacher.vectors[warm]
    explained = 1 - ((predicted - true) ** 2).mean() / true.var(0).mean()
    assert explained > 0.05  # a head that nobody solved explains nothing


def test_who_has_no_content_or_no_behaviour_teaches_nothing(stage: Stage):
    teacher = stage.teacher
    assert teacher is not None
    shown = np.zeros(len(stage.usable), bool)
    shown[teacher.rows[:3]] = True
    task = KdSoft(replace(stage, usable=shown), KdSoftConfig(**QUICK), None)
    assert task.rows.tolist() == teacher.rows[:3].tolist()
    shown[teacher.rows[1:]] = False
    with pytest.raises(DataError, match="fewer than two training streamers with both content and"):
        KdSoft(replace(stage, usable=shown), KdSoftConfig(**QUICK), None)
    with pytest.raises(ValueError, match="needs a teacher"):
        KdSoft(replace(stage, teacher=None), KdSoftConfig(**QUICK), None)


def test_clusters_are_those_of_the_id_space_and_hold_ten_streamers_on_average(stage: Stage):
    config = KdPseudoLabelConfig(**QUICK, clusters=1000)
    task = KdPseudoLabel(stage, config, None)
    assert stage.teacher is not None
    assert len(np.unique(task.labels)) == len(task.rows) // 10
    directions = stage.teacher.directions[stage.usable[stage.teacher.rows]]
    cosine = directions @ directions.T
    same = task.labels[:, None] == task.labels
    assert cosine[same].mean() > cosine[~same].mean() + 0.3
    again = KdPseudoLabel(stage, config, None)
    np.testing.assert_array_equal(again.labels, task.labels)


def test_the_head_of_the_clusters_is_trained_and_not_exported(stage: Stage):
    config = KdPseudoLabelConfig(**QUICK)
    task = KdPseudoLabel(stage, config, None)
    names = {name for name, _ in task.module.named_parameters()}
    assert {"head.weight", "head.bias", "encoder.table"} <= names
    make_steps(task, 2)
    assert task.module.state_dict()["head.weight"].any()
    assert "head.weight" not in stage.encoder.state_dict()


def test_weights_of_distances_and_angles_scale_their_losses(stage: Stage):
    one = KdRkdConfig(**QUICK)
    task = KdRkd(stage, one, None)
    other = KdRkd(stage, replace(one, distance_weight=3.0, angle_weight=0.0), None)
    stage.encoder.eval()
    with torch.no_grad():
        plain, weighted = task.losses(0), other.losses(0)
    assert float(weighted["distance_loss"]) == pytest.approx(3 * float(plain["distance_loss"]))
    assert float(weighted["angle_loss"]) == 0 < float(plain["angle_loss"])


@pytest.mark.parametrize(
    ("config", "changes", "problem"),
    [
        (KdSoftConfig, {"softening": 0.0}, "softening=0: must be more than 0"),
        (KdPseudoLabelConfig, {"clusters": 0}, "clusters=0: must be 1 or more"),
    ],
)
def test_a_setting_that_is_none_is_named(
    config: type[TeacherConfig], changes: dict[str, Any], problem: str
):
    with pytest.raises(UsageError, match=problem):
        config(**changes)


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_transfer_plus_predicts_id_embeddings_however_much_it_regressed(
    stage: Stage, weight: float
):
    task = TransferPlus(stage, TransferPlusConfig(**QUICK, regression_weight=weight), None)
    assert explained_by_id_head(stage, task) < 0
    task.finish()
    assert explained_by_id_head(stage, task) > 0.05


def explained_by_id_head(stage: Stage, task: TransferPlus) -> float:
    """The share of the teacher's variance that the predicted ID-embeddings explain."""
    assert stage.teacher is not None
    assert stage.encoder.id_head is not None
    with torch.no_grad():
        z = stage.encoder.eval().embed(stage.bags.take(task.rows))
        predicted = (stage.encoder.id_head(z) * stage.encoder.id_scale).numpy()
    own = stage.teacher.vectors[stage.usable[stage.teacher.rows]]
    return float(1 - ((predicted - own) ** 2).sum() / ((own - own.mean(0)) ** 2).sum())


def test_a_doubted_vector_pulls_the_id_head_less(stage: Stage):
    assert stage.teacher is not None
    wrong = stage.teacher.vectors.copy()
    wrong[::2] *= -1
    doubt = np.ones(len(wrong), np.float32)
    doubt[::2] = 0
    noise = replace(NoiseEstimate.blind(stage.teacher.directions), trust=doubt)
    clean = agreement_of_id_head(stage, stage.teacher)
    believed = agreement_of_id_head(stage, replace(stage.teacher, vectors=wrong))
    doubted = agreement_of_id_head(stage, replace(stage.teacher, vectors=wrong, noise=noise))
    assert clean > believed + 0.15
    assert doubted > believed + 0.8 * (clean - believed)


def agreement_of_id_head(stage: Stage, teacher: Teacher) -> float:
    """Mean cosine of predicted and right ID-embeddings, the head solved from this teacher."""
    encoder = deepcopy(stage.encoder)
    task = KdFeature(
        replace(stage, encoder=encoder, teacher=teacher), KdFeatureConfig(**QUICK), None
    )
    task.finish()
    assert encoder.id_head is not None
    assert stage.teacher is not None
    with torch.no_grad():
        predicted = encoder.id_head(encoder.embed(stage.bags.take(task.rows))).numpy()
    right = stage.teacher.directions[stage.usable[stage.teacher.rows]]
    norm = np.linalg.norm(predicted, axis=1, keepdims=True)
    return float(((predicted / norm) * right).sum(1).mean())


def test_transfer_plus_needs_a_pair_that_content_bears_out(stage: Stage):
    assert stage.teacher is not None
    nobody = np.zeros(len(stage.teacher.rows), np.float32)
    noise = replace(NoiseEstimate.blind(stage.teacher.directions), trust=nobody)
    doubted = replace(stage, teacher=replace(stage.teacher, noise=noise))
    with pytest.raises(DataError, match="trusted by content; try --set denoise=false"):
        TransferPlus(doubted, TransferPlusConfig(**QUICK), None)
