"""All trackers of a fit as one."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from training.errors import UsageError
from training.models.checkpoint import MLFLOW_RUN, TENSORBOARD
from training.tracking.base import Entry, Tracker
from training.tracking.metrics_file import MetricsFile
from training.tracking.mlflow import MLflow
from training.tracking.tensorboard import TensorBoard

TRACKERS: dict[str, Callable[[Path, bool, Mapping[str, Any]], Tracker]] = {
    "mlflow": MLflow,
    "tensorboard": TensorBoard,
}
"""Name -> tracker of (checkpoint folder, whether a fit is resumed, description of the fit)."""


class Tracking(Tracker):
    """Passes everything on to some trackers, none by default."""

    def __init__(self, trackers: Sequence[Tracker] = (), opened: ExitStack | None = None) -> None:
        """Pass on to the trackers.

        Args:
            trackers: in this order.
            opened: closes them.
        """
        self._trackers, self._opened = trackers, opened or ExitStack()

    def __exit__(self, *problem: Any) -> None:
        self._opened.__exit__(*problem)

    def go_on(self, stage: str, step: int) -> None:
        """Prepare for the entries of a stage after `step`."""
        for tracker in self._trackers:
            tracker.go_on(stage, step)

    def record(self, entry: Entry) -> None:
        """Record an entry."""
        for tracker in self._trackers:
            tracker.record(entry)

    def finish(self, metrics: Mapping[str, float]) -> None:
        """Record the metrics of the finished checkpoint."""
        for tracker in self._trackers:
            tracker.finish(metrics)


def open_tracking(
    names: Sequence[str], folder: Path, resumed: bool, description: Mapping[str, Any]
) -> Tracking:
    """Tracking of a fit in `metrics.jsonl` and in the named trackers.

    Args:
        names: of `TRACKERS`.
        folder: checkpoint folder.
        resumed: whether an interrupted fit goes on.
        description: of the fit.

    Raises:
        OutputError: the folder can't be written to.
        UsageError: a name is unknown, or its library is not installed or can't be used.
    """
    unknown = sorted({*names} - {*TRACKERS})
    if unknown:
        raise UsageError(f"tracker {unknown[0]!r} is unknown; there are {', '.join(TRACKERS)}")
    if not resumed:  # what tracked an overwritten fit
        shutil.rmtree(folder / TENSORBOARD, ignore_errors=True)
        (folder / MLFLOW_RUN).unlink(missing_ok=True)
    with ExitStack() as opening:
        trackers: list[Tracker] = [
            opening.enter_context(TRACKERS[name](folder, resumed, description))
            for name in dict.fromkeys(names)
        ]
        trackers.append(MetricsFile(folder, resumed))
        return Tracking(trackers, opening.pop_all())
