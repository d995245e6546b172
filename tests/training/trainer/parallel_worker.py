"""A few steps of every recipe, and a fit, in one process or in several that train together.

    python -m tests.training.trainer.parallel_worker DATA OUT CHECKPOINT

With the variables that `torchrun` sets, it is one of several; the first writes.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from model_export.contract.pieces import pieces_of
from training.config import RecipeConfig, TeacherConfig, override
from training.data import Dataset, load_dataset
from training.models.distributed import Compute, computing
from training.preparation.stage import prepare
from training.tasks.base import Task
from training.tasks.recipes import RECIPES
from training.teachers.id_embeddings import find_teacher
from training.trainer.fit import Request, fit
from training.trainer.loop import update

TINY: dict[str, Any] = {"dim": 8, "table_dim": 16, "hidden_dim": 16, "content_dim": 32}
STEPS = 4
CASES: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in RECIPES}
CASES |= {
    "simcse": ("simcse", {"token_dropout": 0.5}),
    "transfer-plus": ("transfer-plus", {"kernel_dropout": 0.0}),
    "masked-views in chunks": ("masked-views", {"chunk_size": 4}),
}
"""Name -> recipe and changes to its settings."""
FIT = ("transfer-plus", "bfloat16")
"""Recipe and precision of the fit."""
FIT_SETTINGS = [
    f"{name}={value}"
    for name, value in {
        **TINY, "batch_size": 30, "teacher_dim": 8, "steps": 20, "evaluate_every": 5
    }.items()
]  # fmt: skip


def tiny(case: str) -> RecipeConfig:
    """Settings with small widths and no dropout, which draws other numbers in each process."""
    recipe, changes = CASES[case]
    config = replace(RECIPES[recipe].config(), **TINY, batch_size=30, dropout=0.0, **changes)
    return replace(config, teacher_dim=8) if isinstance(config, TeacherConfig) else config


def build(dataset: Dataset, case: str, compute: Compute) -> Task:
    """The task of a case."""
    config, known = tiny(case), dataset.rows("train")
    teacher = None
    if isinstance(config, TeacherConfig):
        teacher = find_teacher(dataset, known, config, seed=0, threads=1)
    pieces = [pieces_of(profile) for profile in dataset.profiles]
    stage = prepare(dataset, pieces, known, teacher, config, 0, 1, compute)
    return RECIPES[CASES[case][0]].build(stage, config, None)


def record(dataset: Dataset, case: str, compute: Compute) -> dict[str, Tensor]:
    """Losses of every step, the gradient of the first, and the weights at the end."""
    config, task = tiny(case), build(dataset, case, compute)
    module = task.module.to(compute.device)
    found: dict[str, Tensor] = {}
    optimiser = torch.optim.AdamW(module.parameters(), config.learning_rate)
    for step in range(STEPS):
        for name, value in update(task, optimiser, config.clip_norm, 0, step).items():
            found[f"loss.{step}.{name}"] = torch.tensor(value)
        if step == 0:
            gradients = {n: p.grad for n, p in module.named_parameters() if p.grad is not None}
            found |= {f"gradient.{name}": grad.clone() for name, grad in gradients.items()}
    return found | {f"weight.{name}": value for name, value in module.state_dict().items()}


def main(folder: Path, out: Path, checkpoint: Path) -> None:
    """Record all cases, and fit."""
    torch.set_num_threads(1)
    dataset = load_dataset(folder)
    with computing() as compute:
        found = {
            f"{case}.{name}": tensor.contiguous()
            for case in CASES
            for name, tensor in record(dataset, case, compute).items()
        }
        recipe, precision = FIT
        config = override(RECIPES[recipe].config(), FIT_SETTINGS)
        compute = replace(compute, precision=precision)
        fit(Request(recipe, config, 0, 1, checkpoint, compute=compute), dataset)
    if compute.is_first:
        out.write_bytes(safetensors.torch.save(found))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
