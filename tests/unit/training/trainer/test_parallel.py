"""Several processes train as one does, with the same batch."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from tests.unit.training.tracking.recorded import lines, steps, story
from tests.unit.training.trainer.parallel_worker import CASES, record
from training.data import load_dataset
from training.models.checkpoint import Checkpoint
from training.models.distributed import Compute

pytestmark = pytest.mark.slow

ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
    "GLOO_SOCKET_IFNAME": "lo",
}
PATIENCE_S = 600


@pytest.fixture(scope="module")
def worked(tiny_world_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which two processes worked, and what they printed of the killed fit."""
    folder = tmp_path_factory.mktemp("parallel")
    worker = [sys.executable, "-m", "tests.unit.training.trainer.parallel_worker"]
    running = subprocess.Popen(
        [*worker, str(tiny_world_folder), str(folder)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a group of its own, to be ended together
    )
    try:
        printed, errors = running.communicate(timeout=PATIENCE_S)
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
            running.communicate()
    assert running.returncode == 0, errors
    return folder, printed.partition("killed\n")[2]


@pytest.fixture(scope="module")
def recorded(worked: tuple[Path, str]) -> dict[str, Tensor]:
    """All cases, trained by two processes."""
    return safetensors.torch.load((worked[0] / "recorded").read_bytes())


@pytest.mark.parametrize("case", CASES)
def test_loss_gradient_and_weights_are_those_of_one_process(
    recorded: dict[str, Tensor], tiny_world_folder: Path, case: str
):
    alone = record(load_dataset(tiny_world_folder), case, Compute())
    found = {
        name.removeprefix(f"{case}."): tensor
        for name, tensor in recorded.items()
        if name.startswith(f"{case}.")
    }
    assert set(found) == set(alone)
    assert any(name.startswith("gradient.") for name in found)
    for name, expected in alone.items():
        kind, _, parameter = name.partition(".")
        # Where a gradient is nothing but rounding, Adam blows the rounding up to a full step.
        gradient = alone.get(f"gradient.{parameter}") if kind == "weight" else None
        moved = torch.ones_like(expected, dtype=torch.bool)
        moved = moved if gradient is None else gradient.abs() > 1e-6
        torch.testing.assert_close(found[name][moved], expected[moved], rtol=1e-5, atol=1e-5)


def test_killed_they_go_on_to_the_result_of_those_that_were_not(worked: tuple[Path, str]):
    folder, printed = worked
    assert printed.count("saved") == 1
    killed, whole = folder / "killed", folder / "whole"
    one, other = Checkpoint.load(killed), Checkpoint.load(whole)
    assert one.config == other.config
    assert one.config["compute"] == {"device": "cpu", "precision": "bfloat16", "processes": 2}
    assert story(killed) == story(whole)  # by one of the two
    assert [line["event"] for line in lines(killed)].count("resume") == 1
    assert steps(killed, "select") == [0, 2, 4, 6, 8]
    assert all(torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)
