"""A few steps of a recipe in one process, or in several that train together.

    python -m tests.training.parallel_worker DATA OUT RECIPE,RECIPE,...

With the variables that `torchrun` sets, it is one of several; the first writes OUT.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from model_export.contract.pieces import pieces_of
from training.compute import Compute, computing
from training.config import RecipeConfig, TeacherConfig
from training.data import Dataset, load_dataset
from training.stage import prepare
from training.tasks.base import Task
from training.tasks.recipes import RECIPES
from training.teacher import find_teacher
from training.train import update

TINY: dict[str, Any] = {"dim": 8, "table_dim": 16, "hidden_dim": 16, "content_dim": 32}
STEPS = 4


def tiny(recipe: str, **changes: Any) -> RecipeConfig:
    """The recipe's configuration with small widths, and no dropout: it draws other numbers."""
    config = replace(RECIPES[recipe].config(), **TINY, batch_size=30, dropout=0.0, **changes)
    return replace(config, teacher_dim=8) if isinstance(config, TeacherConfig) else config


def build(dataset: Dataset, recipe: str, compute: Compute) -> Task:
    """The recipe's task with `tiny` settings."""
    config, known = tiny(recipe), dataset.rows("train")
    teacher = None
    if isinstance(config, TeacherConfig):
        teacher = find_teacher(dataset, known, config, seed=0, threads=1)
    pieces = [pieces_of(profile) for profile in dataset.profiles]
    stage = prepare(dataset, pieces, known, teacher, config, 0, 1, compute)
    return RECIPES[recipe].build(stage, config, None)


def record(dataset: Dataset, recipe: str, compute: Compute) -> dict[str, Tensor]:
    """Losses of every step, the gradient of the first, and the weights at the end."""
    config, task = tiny(recipe), build(dataset, recipe, compute)
    module = task.module.to(compute.device)
    found: dict[str, Tensor] = {}
    optimiser = torch.optim.AdamW(module.parameters(), config.learning_rate)
    for step in range(STEPS):
        for name, value in update(task, optimiser, config, 0, step).items():
            found[f"loss.{step}.{name}"] = torch.tensor(value)
        if step == 0:
            gradients = {n: p.grad for n, p in module.named_parameters() if p.grad is not None}
            found |= {f"gradient.{name}": grad.clone() for name, grad in gradients.items()}
    return found | {f"weight.{name}": value for name, value in module.state_dict().items()}


def main(folder: Path, out: Path, recipes: Sequence[str]) -> None:
    """Record all recipes."""
    torch.set_num_threads(1)
    dataset = load_dataset(folder)
    with computing() as compute:
        found = {
            f"{recipe}.{name}": tensor.contiguous()
            for recipe in recipes
            for name, tensor in record(dataset, recipe, compute).items()
        }
    if compute.is_first:
        out.write_bytes(safetensors.torch.save(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3].split(","))
