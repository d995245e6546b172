from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from tests.unit.training.small import SMALL, TAUGHT, make_steps, stage_of
from training.config import (
    KdFeatureConfig,
    KdPseudoLabelConfig,
    KdRkdConfig,
    KdSoftConfig,
    MaskedViewsConfig,
    MlmConfig,
    PtumConfig,
    RecipeConfig,
    SimcseConfig,
    TransferConfig,
    TransferPlusConfig,
)
from training.data import Dataset, IdEmbeddings
from training.errors import UsageError
from training.preparation.stage import Stage
from training.tasks.base import Task
from training.tasks.recipes import RECIPES, find_recipe
from training.teachers.id_embeddings import find_teacher

CONFIGS: dict[str, RecipeConfig] = {
    # From the start that validation chooses, sixty steps of so small an encoder only lose.
    "masked-views": MaskedViewsConfig(**SMALL, vector_doublings=0),
    "mlm": MlmConfig(**SMALL),
    "ptum": PtumConfig(**SMALL),
    "simcse": SimcseConfig(**SMALL),
    "kd-feature": KdFeatureConfig(**TAUGHT),
    "kd-soft": KdSoftConfig(**TAUGHT),
    "kd-pseudo-label": KdPseudoLabelConfig(**TAUGHT),
    "kd-rkd": KdRkdConfig(**TAUGHT),
    "transfer": TransferConfig(**TAUGHT, pretrain_steps=0),
    "transfer-plus": TransferPlusConfig(**TAUGHT, kernel_landmarks=100),
}


def build(world: Dataset, recipe: str) -> tuple[Stage, Task]:
    config = CONFIGS[recipe]
    stage = stage_of(world, config)
    return stage, RECIPES[recipe].build(stage, config, world.rows("val"))


def train(task: Task, steps: int) -> list[float]:
    return [
        sum(value for name, value in parts.items() if name.endswith("_loss"))
        for parts in make_steps(task, steps)
    ]


@pytest.mark.slow
def test_masked_views_learn_from_the_start_that_validation_chooses(world: Dataset):
    stage = stage_of(world, config := MaskedViewsConfig(**SMALL))
    made = make_steps(RECIPES["masked-views"].build(stage, config, world.rows("val")), 60)
    assert all(0 <= step["overlap"] <= 0.1 for step in made)
    losses = [step["views_loss"] for step in made]
    assert np.mean(losses[-10:]) < 0.97 * np.mean(losses[:10])


@dataclass(frozen=True)
class Learned:
    """A task after sixty steps, with the validation before them and the loss of each."""

    recipe: str
    task: Task
    before: float
    losses: list[float]


@pytest.fixture(scope="module", params=RECIPES)
def learned(world: Dataset, request: pytest.FixtureRequest) -> Learned:
    _, task = build(world, request.param)
    before = task.validate()
    return Learned(request.param, task, before, train(task, 60))


@pytest.mark.slow
def test_a_task_learns(learned: Learned):
    losses = learned.losses
    assert np.mean(losses[-10:]) < 0.97 * np.mean(losses[:10])
    if learned.recipe not in ("mlm", "simcse"):  # at this rate they soon forget who is who
        assert learned.task.validate() > learned.before - 0.05  # of thirty: a place or two


@pytest.mark.slow
def test_a_step_s_randomness_comes_from_its_number_alone(learned: Learned):
    task = learned.task  # away from a start at which every batch may have the same loss
    task.encoder.eval()
    with torch.no_grad():
        first, other, again = task.losses(3), task.losses(4), task.losses(3)
    assert first == again
    assert first != other


@pytest.mark.slow
def test_what_is_fixed_stays_as_it_is(world: Dataset):
    stage, task = build(world, "transfer-plus")
    assert stage.teacher is not None
    teacher = stage.teacher.vectors.copy()
    fixed = {name: value.clone() for name, value in task.encoder.named_buffers()}
    train(task, 3)
    np.testing.assert_array_equal(stage.teacher.vectors, teacher)
    for name, value in task.encoder.named_buffers():
        assert torch.equal(value, fixed[name]), name


@pytest.mark.slow
def test_positives_come_from_the_id_space_where_no_audience_is_known(world: Dataset):
    known = world.rows("train", "val")
    teacher = find_teacher(world, known, TransferPlusConfig(**TAUGHT), seed=0, threads=1)
    handed = IdEmbeddings([world.ids[row] for row in teacher.rows], teacher.vectors)
    _, task = build(replace(world, interactions=None, id_embeddings=handed), "transfer-plus")
    before = task.validate()
    train(task, 60)
    assert task.validate() > before


def test_an_unknown_recipe_lists_the_known():
    with pytest.raises(UsageError, match=r"the recipes are masked-views, .*transfer-plus"):
        find_recipe("magic")
