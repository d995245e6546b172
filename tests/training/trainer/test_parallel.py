"""Several processes train as one does, with the same batch."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from tests.training.tracking.recorded import steps, story
from tests.training.trainer.parallel_worker import CASES, FIT, FIT_SETTINGS, record
from training.data import load_dataset
from training.models.checkpoint import Checkpoint, is_finished, load_state
from training.models.distributed import Compute

pytestmark = pytest.mark.slow

ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
    "GLOO_SOCKET_IFNAME": "lo",
}
PATIENCE_S = 600
PROCESSES = 2


def by_torchrun(module: str, arguments: Sequence[str]) -> tuple[int, str, str]:
    """Exit status of two processes that train together, what they print, and their errors."""
    running = subprocess.Popen(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--local-addr", "127.0.0.1", "--nproc-per-node", str(PROCESSES)),
            *("-m", module, *arguments),
        ],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a group of its own, to be ended together
    )
    try:
        out, errors = running.communicate(timeout=PATIENCE_S)
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
            running.communicate()
    return running.returncode, out, errors


@pytest.fixture(scope="module")
def worked(small_world_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what two processes recorded, and with the checkpoint of their fit."""
    folder = tmp_path_factory.mktemp("parallel")
    arguments = [str(small_world_folder), str(folder / "recorded"), str(folder / "checkpoint")]
    status, _, errors = by_torchrun("tests.training.trainer.parallel_worker", arguments)
    assert status == 0, errors
    return folder


@pytest.fixture(scope="module")
def recorded(worked: Path) -> dict[str, Tensor]:
    """All cases, trained by two processes."""
    return safetensors.torch.load((worked / "recorded").read_bytes())


@pytest.mark.parametrize("case", CASES)
def test_loss_gradient_and_weights_are_those_of_one_process(
    recorded: dict[str, Tensor], small_world_folder: Path, case: str
):
    alone = record(load_dataset(small_world_folder), case, Compute())
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


def fitting(folder: Path, out: Path) -> list[str]:
    """The arguments of the fit."""
    recipe, precision = FIT
    settings = [part for setting in FIT_SETTINGS for part in ("--set", setting)]
    where = ["--recipe", recipe, "--data", str(folder), "--out", str(out)]
    return [
        "fit",
        *where,
        "--threads",
        "1",
        "--save-every",
        "0.001",
        "--precision",
        precision,
        *settings,
    ]


@pytest.mark.timeout(4 * PATIENCE_S)
def test_killed_they_go_on_to_the_result_of_those_that_were_not(
    worked: Path, small_world_folder: Path, tmp_path: Path
):
    out = tmp_path / "killed"
    arguments = fitting(small_world_folder, out)
    status, _, errors = by_torchrun("tests.training.trainer.killed_worker", ["select", *arguments])
    assert status != 0
    assert "SIGKILL" in errors
    assert load_state(out) is not None
    assert not is_finished(out)
    status, printed, errors = by_torchrun("training", arguments)
    assert status == 0, errors
    assert printed.count("saved") == 1
    one, other = Checkpoint.load(out), Checkpoint.load(worked / "checkpoint")
    assert one.config == other.config
    assert one.config["compute"] == {"device": "cpu", "precision": "bfloat16", "processes": 2}
    assert story(out) == story(worked / "checkpoint")  # by one of the two
    assert steps(out, "select") == [0, 5, 10, 15, 20]
    assert all(torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)
