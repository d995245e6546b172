"""Progress of a comparison: a line per finished run, with an estimate of the time left."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from training.compare import words
from training.compare.plan import Run
from training.compare.results import Failure
from training.progress import Progress


class RunProgress:
    """Reports finished and failed runs, and estimates the time left from similar runs."""

    def __init__(
        self,
        todo: Sequence[Run],
        done: Iterable[tuple[Run, float]],
        jobs: int,
        progress: Progress,
    ) -> None:
        """Start with nothing done.

        Args:
            todo: planned runs.
            done: runs that finished before, and the seconds they took.
            jobs: runs at a time.
            progress: counts the runs and writes the lines.
        """
        self._left, self._jobs, self._progress = list(todo), jobs, progress
        self._took = [(run, seconds) for run, seconds in done]

    def running(self, runs: Sequence[Run]) -> None:
        """Show on a terminal which runs are in progress."""
        self._progress.show(", ".join(run.name for run in runs))

    def finished(self, run: Run, values: Mapping[str, float], seconds: float) -> None:
        """Report a finished run and the metric it reached by task."""
        self._took.append((run, seconds))
        reached = [f"{task} {words.value(value)}" for task, value in values.items()]
        self._ended(run.name, f"{run.name}: {', '.join([*reached, words.seconds(seconds)])}")

    def failed(self, failure: Failure) -> None:
        """Report a failed run and the reason."""
        self._ended(failure.name, f"{failure.name}: FAILED: {failure.reason}")

    def _ended(self, name: str, text: str) -> None:
        self._left = [run for run in self._left if run.name != name]
        total = self._progress.total
        self._progress.move_to(total - len(self._left))
        number = f"{self._progress.done:{len(str(total))}}/{total}"
        left = self.seconds_left()
        rest = "" if left is None or not self._left else f"; about {words.seconds(left)} left"
        self._progress.line(f"[{number}] {text}{rest}")

    def seconds_left(self) -> float | None:
        """Estimated seconds for the remaining runs; None while no similar run has finished."""
        each = [self._expected(run) for run in self._left]
        known = [seconds for seconds in each if seconds is not None]
        return sum(known) / self._jobs if len(known) == len(each) else None

    def _expected(self, run: Run) -> float | None:
        """Mean seconds of the most similar finished runs; a fit never stands for a baseline."""

        def mean(like: Iterable[tuple[Run, float]]) -> float | None:
            seconds = [took for _, took in like]
            return float(np.mean(seconds)) if seconds else None

        method, trained = run.method, bool(run.method.recipe)
        same_kind = [(r, s) for r, s in self._took if bool(r.method.recipe) is trained]
        same_data = [(r, s) for r, s in same_kind if r.data == run.data]
        for group in (
            [(r, s) for r, s in same_data if r.method == method],
            same_data,
            [(r, s) for r, s in same_kind if r.method == method],
            same_kind,
        ):
            found = mean(group)
            if found is not None:
                return found
        return None
