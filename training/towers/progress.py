"""How the encoding of a data set is going: a bar on a terminal, a few plain lines elsewhere."""

import sys
import time
from typing import TextIO

from tqdm import tqdm

_LINE_EVERY_S = 30.0


class Progress:
    """Reports how many payloads a tower has encoded; use as a context manager."""

    def __init__(self, name: str, total: int, stream: TextIO | None = None) -> None:
        """A report to begin; of nothing to do nothing is said."""
        self._name, self._total, self._done = name, total, 0
        self._stream = sys.stderr if stream is None else stream
        self._begun = self._told = time.monotonic()
        terminal = self._stream.isatty() and total > 0
        self._bar = tqdm(total=total, desc=name, file=self._stream) if terminal else None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def advanced(self, count: int) -> None:
        """So many more are encoded."""
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
            return
        now = time.monotonic()
        if now - self._told >= _LINE_EVERY_S or self._done == self._total:
            self._told = now
            rate = self._done / max(now - self._begun, 1e-9)
            self._stream.write(f"{self._name}: {self._done} of {self._total}, {rate:.0f}/s\n")
            self._stream.flush()
