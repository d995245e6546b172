"""TensorBoard event files in the checkpoint folder, one TensorBoard run per stage."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.errors import UsageError
from training.models.checkpoint import TENSORBOARD
from training.tracking.base import Entry, Tracker

_RESULT = "result"


class TensorBoard(Tracker):
    """Writes scalars by PyTorch's `SummaryWriter`, and the description of the fit as text."""

    def __init__(self, folder: Path, resumed: bool, description: Mapping[str, Any]) -> None:
        """Check that the library is there.

        Args:
            folder: checkpoint folder.
            resumed: ignored; each stage says from which step on it is written again.
            description: of the fit.

        Raises:
            UsageError: TensorBoard is not installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UsageError(
                "--track tensorboard needs TensorBoard: pip install 'similar-streamer[tensorboard]'"
            ) from error
        self._new_writer = SummaryWriter
        self._folder, self._description = folder / TENSORBOARD, description
        self._writer: SummaryWriter | None = None

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def go_on(self, stage: str, step: int) -> None:
        """Open the stage's run; TensorBoard hides its older events after the step."""
        self._open(stage, step + 1 if step else 0)

    def record(self, entry: Entry) -> None:
        """Write the numbers of an entry."""
        assert self._writer is not None
        if entry.event == "end":
            return
        for name, value in entry.scalars():
            self._writer.add_scalar(name, value, entry.step)
        self._writer.flush()

    def finish(self, metrics: Mapping[str, float]) -> None:
        """Write the metrics of the checkpoint, and the description of the fit, as a run."""
        writer = self._open(_RESULT, 0)
        writer.add_text("fit", f"```json\n{json.dumps(self._description, indent=2)}\n```")
        for name, value in metrics.items():
            writer.add_scalar(name, value)

    def _open(self, run: str, purge_step: int) -> Any:
        self.__exit__()
        self._writer = self._new_writer(str(self._folder / run), purge_step=purge_step)
        return self._writer
