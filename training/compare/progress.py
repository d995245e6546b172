"""How a comparison is going: a line per run, and on a terminal what is running now."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

import numpy as np

from training.compare import words
from training.compare.plan import Run
from training.compare.results import Failure


class Progress:
    """Counts runs and estimates the time left from what others of their kind took."""

    def __init__(
        self,
        todo: Sequence[Run],
        done: Iterable[tuple[Run, float]],
        jobs: int,
        stream: TextIO | None = None,
    ) -> None:
        """A report to begin.

        Args:
            todo: runs to be made.
            done: finished runs, and the seconds they took.
            jobs: how many run at a time.
            stream: where to; standard error by default.
        """
        self._left = list(todo)
        self._total, self._jobs = len(todo), jobs
        self._took = [(run, seconds) for run, seconds in done]
        self._stream = sys.stderr if stream is None else stream
        self._shown = ""

    def running(self, runs: Sequence[Run]) -> None:
        """These are under way; shown on a terminal only."""
        text = f"  {', '.join(run.name for run in runs)} ..." if runs else ""
        if text != self._shown and self._stream.isatty():
            self._stream.write(f"\r\x1b[K{text[:120]}")
            self._stream.flush()
            self._shown = text

    def finished(self, run: Run, values: Mapping[str, float], seconds: float) -> None:
        """A run is finished; `values` are what it reached, by task."""
        self._took.append((run, seconds))
        reached = [f"{task} {words.value(value)}" for task, value in values.items()]
        self._ended(run.name, f"{run.name}: {', '.join([*reached, words.seconds(seconds)])}")

    def failed(self, failure: Failure) -> None:
        """A run failed."""
        self._ended(failure.name, f"{failure.name}: FAILED: {failure.reason}")

    def _ended(self, name: str, text: str) -> None:
        self._left = [run for run in self._left if run.name != name]
        number = f"{self._total - len(self._left):{len(str(self._total))}}/{self._total}"
        left = self.seconds_left()
        rest = "" if left is None or not self._left else f"; about {words.seconds(left)} left"
        clear = "\r\x1b[K" if self._shown else ""
        self._stream.write(f"{clear}[{number}] {text}{rest}\n")
        self._stream.flush()
        self._shown = ""

    def seconds_left(self) -> float | None:
        """An estimate for all that is left; None while nothing is known."""
        each = [self._expected(run) for run in self._left]
        known = [seconds for seconds in each if seconds is not None]
        return sum(known) / self._jobs if len(known) == len(each) else None

    def _expected(self, run: Run) -> float | None:
        """What others took: the nearest of which there are any; a fit is no guide to a baseline."""

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
