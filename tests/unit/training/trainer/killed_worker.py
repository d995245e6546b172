"""A fit that is killed in each of its stages, then finished, beside one that nobody stops.

    python -m tests.unit.training.trainer.killed_worker KILLED WHOLE fit --recipe …

Prints a line of JSON for each of the four: its exit status, the stage of the state that it has
left, and whether it is finished. All are forked from this process, which imports for all of them.
A process kills itself, so that a busy machine can't miss the moment.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch._dynamo  # noqa: F401 - the first optimiser imports it, for seconds, in each process
from torch import Tensor

import training.commands.fit  # noqa: F401 - the command line imports it later, in each process
from training.calibration.evidence import estimate
from training.commands.cli import main
from training.models.checkpoint import is_finished, load_state, save_state
from training.trainer import loop as train


def killed_at(stage: str) -> None:
    """From now on the first saved state of the stage is the last thing this process does."""

    def save_and_die(folder: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
        save_state(folder, tensors, about)
        if about["stage"] == stage:
            os.kill(os.getpid(), signal.SIGKILL)

    train.save_state = save_and_die


def few_copies() -> None:
    """As in the other tests of fits: evidence is estimated from few streamers."""
    estimate.MOST_COUNTED, estimate.MOST_COPIED = 20, 8


def run(stage: str, arguments: Sequence[str]) -> int:
    """Exit status of a process of its own: minus the signal that ended it."""
    sys.stdout.flush()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.dup2(2, 1)
            killed_at(stage)
            status = main([*arguments])
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    few_copies()
    killed, whole, *arguments = sys.argv[1:]
    for stage, out in (("select", killed), ("refit", killed), ("", killed), ("", whole)):
        status, state = run(stage, [*arguments, "--out", out]), load_state(Path(out))
        left = None if state is None else state[1]["stage"]
        sys.stdout.write(json.dumps([status, left, is_finished(Path(out))]) + "\n")
