"""Encoders that are trained in a second, and stages of a small world for them."""

from typing import Any

import torch

from model_export.contract.pieces import pieces_of
from training.config import RecipeConfig, TeacherConfig
from training.data import Dataset
from training.preparation.stage import Stage, prepare
from training.tasks.base import Task
from training.teachers.id_embeddings import find_teacher
from training.trainer.loop import update

WIDTHS: dict[str, Any] = {"dim": 16, "table_dim": 32, "hidden_dim": 32, "content_dim": 32}
SMALL: dict[str, Any] = WIDTHS | {"batch_size": 64}
TAUGHT: dict[str, Any] = SMALL | {"teacher_dim": 8}


def stage_of(world: Dataset, config: RecipeConfig) -> Stage:
    """The training streamers, with a teacher where the recipe has one."""
    known = world.rows("train")
    teacher = None
    if isinstance(config, TeacherConfig):
        teacher = find_teacher(world, known, config, seed=0, threads=1)
    pieces = [pieces_of(profile) for profile in world.profiles]
    return prepare(world, pieces, known, teacher, config, seed=0, threads=1)


def make_steps(task: Task, steps: int, learning_rate: float = 3e-3) -> list[dict[str, float]]:
    """Train for so many steps; the losses of each."""
    optimiser = torch.optim.AdamW(task.module.parameters(), learning_rate)
    return [update(task, optimiser, clip_norm=1.0, seed=0, step=step) for step in range(steps)]
