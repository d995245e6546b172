"""A few steps of every recipe, and fits, in one process or in several that train together.

    python -m tests.unit.training.trainer.parallel_worker DATA FOLDER

Two processes record all cases in FOLDER, and fit there a checkpoint that nobody stops, and one that
is killed and goes on. `torchrun`'s launcher forks them from this process, which imports for all.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from model_export.contract.pieces import pieces_of
from tests.unit.training.trainer.killed_worker import few_copies, killed_at
from training.commands.cli import main
from training.config import RecipeConfig, TeacherConfig
from training.data import Dataset, load_dataset
from training.models.checkpoint import is_finished, load_state
from training.models.distributed import Compute, computing
from training.preparation.stage import prepare
from training.tasks.base import Task
from training.tasks.recipes import RECIPES
from training.teachers.id_embeddings import find_teacher
from training.trainer.loop import update

TINY: dict[str, Any] = {"dim": 8, "table_dim": 16, "hidden_dim": 16, "content_dim": 32}
KERNEL: dict[str, Any] = {"kernel_rank": 16, "kernel_table_dim": 16, "kernel_hidden_dim": 16}
STEPS = 2
PROCESSES = 2
CASES: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in RECIPES}
CASES |= {
    "simcse": ("simcse", {"token_dropout": 0.5}),
    "transfer-plus": ("transfer-plus", {**KERNEL, "kernel_dropout": 0.0}),
    "masked-views in chunks": ("masked-views", {"chunk_size": 4}),
}
"""Name -> recipe and changes to its settings."""
FIT = ("transfer-plus", "bfloat16")
"""Recipe and precision of the fit."""
FIT_SETTINGS = [
    f"{name}={value}"
    for name, value in {
        **TINY, **KERNEL, "batch_size": 30, "teacher_dim": 8, "steps": 8, "evaluate_every": 2
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


def fitting(data: Path, out: Path) -> list[str]:
    """The command of the fit."""
    recipe, precision = FIT
    settings = [part for setting in FIT_SETTINGS for part in ("--set", setting)]
    where = ["--recipe", recipe, "--data", str(data), "--out", str(out)]
    how = ["--threads", "1", "--save-every", "0.001", "--precision", precision]
    return ["fit", *where, *how, *settings]


def wait_long(compute: Compute) -> None:
    """Wait for the first process for longer than any other operation of the group may take."""
    group = dist.distributed_c10d
    group._set_pg_timeout(timedelta(milliseconds=1))
    if compute.is_first:
        time.sleep(0.1)
    compute.wait()
    group._set_pg_timeout(timedelta(minutes=5))


def record_all(data: Path, out: Path) -> None:
    """Record all cases; the first process writes."""
    torch.set_num_threads(1)
    dataset = load_dataset(data)
    with computing() as compute:
        found = {
            f"{case}.{name}": tensor.contiguous()
            for case in CASES
            for name, tensor in record(dataset, case, compute).items()
        }
        wait_long(compute)
    if compute.is_first:
        out.write_bytes(safetensors.torch.save(found))


def command(arguments: Sequence[str], killed: str = "") -> None:
    """Run a command; kill the process that saves a state of the given stage."""
    killed_at(killed)
    if status := main([*arguments]):
        raise SystemExit(status)


def together(function: Callable[..., None], *arguments: object) -> str:
    """Run in two processes that train together; why one of them failed, or nothing."""
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=PROCESSES,
        run_id="test",
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,
        start_method="fork",
    )
    sys.stdout.flush()
    try:
        elastic_launch(config, function)(*arguments)
    except ChildFailedError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    few_copies()
    data, folder = map(Path, sys.argv[1:])
    assert not together(record_all, data, folder / "recorded")
    assert not together(command, fitting(data, folder / "whole"))
    sys.stdout.write("killed\n")
    arguments = fitting(data, folder / "killed")
    assert "SIGKILL" in together(command, arguments, "select")
    assert load_state(folder / "killed") is not None
    assert not is_finished(folder / "killed")
    assert not together(command, arguments)
