"""Progress of a long task: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from typing import TextIO

from tqdm import tqdm

_LINE_EVERY_S = 30.0


class Progress:
    """Counts the finished units of a task; use as a context manager."""

    def __init__(self, name: str, total: int, stream: TextIO | None = None) -> None:
        """Start at 0 of `total`.

        Args:
            name: of the task, shown before the count.
            total: units to do; with 0 nothing is shown.
            stream: where to write; None = standard error.
        """
        self.name, self.total, self.done = name, total, 0
        self._stream = sys.stderr if stream is None else stream
        self._started = self._written = time.monotonic()
        terminal = total > 0 and self._stream.isatty()
        self._bar = tqdm(total=total, desc=name, file=self._stream) if terminal else None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def move_to(self, done: int) -> None:
        """Set the number of finished units."""
        if self._bar is not None:
            self._bar.update(done - self.done)
        self.done = done

    def advance(self, count: int) -> None:
        """Add finished units; without a terminal, write the rate every 30 s and at the end."""
        self.move_to(self.done + count)
        now = time.monotonic()
        if self._bar is None and (now - self._written >= _LINE_EVERY_S or self.done == self.total):
            self._written = now
            rate = self.done / max(now - self._started, 1e-9)
            self.line(f"{self.name}: {self.done} of {self.total}, {rate:.0f}/s")

    def show(self, status: str, line: str = "") -> None:
        """Show a status beside the bar; without a terminal, write the line instead, if any."""
        if self._bar is not None:
            self._bar.set_postfix_str(status)
        elif line:
            self.line(line)

    def line(self, text: str) -> None:
        """Write a line, above the bar on a terminal."""
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
        else:
            self._stream.write(f"{text}\n")
            self._stream.flush()
