"""Progress of long commands on standard error: a bar on a terminal, a few lines elsewhere."""

import importlib.util
import sys
from typing import Any, Self

_PARTS = 10


class Progress:
    """How far a command is; lines where standard error is no terminal, or tqdm is not installed."""

    def __init__(self, what: str, units: str) -> None:
        """Show nothing yet.

        Args:
            what: is done.
            units: what is counted, in the plural.
        """
        self._what = what
        self._units = units
        self._done = 0
        self._bar: Any = None

    def to(self, done: int, total: int) -> None:
        """So much is done of so much, which may change; of 0 where that is not known."""
        if sys.stderr.isatty() and importlib.util.find_spec("tqdm") is not None:
            self._draw(done, total)
        elif total and _PARTS * done // total > _PARTS * self._done // total:
            line = f"{self._what}: {done} of {total} {self._units}"
            print(line, file=sys.stderr, flush=True)
        self._done = done

    def _draw(self, done: int, total: int) -> None:
        if self._bar is None:
            from tqdm import tqdm

            unit = f" {self._units}"
            self._bar = tqdm(total=total or None, unit=unit, desc=self._what, leave=False)
        self._bar.total = total or None
        self._bar.update(done - self._bar.n)

    def __enter__(self) -> Self:
        """Show it until `__exit__`."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
