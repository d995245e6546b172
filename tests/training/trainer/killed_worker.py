"""A fit that the system kills as soon as it has saved a state of one stage.

    python -m tests.training.trainer.killed_worker STAGE fit --recipe …

The process kills itself, so that a busy machine can't miss the moment.
"""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from training.commands.cli import main
from training.models.checkpoint import save_state
from training.trainer import loop as train


def killed_at(stage: str) -> None:
    """From now on the first saved state of the stage is the last thing this process does."""

    def save_and_die(folder: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
        save_state(folder, tensors, about)
        if about["stage"] == stage:
            os.kill(os.getpid(), signal.SIGKILL)

    train.save_state = save_and_die


if __name__ == "__main__":
    killed_at(sys.argv[1])
    sys.exit(main(sys.argv[2:]))
