"""What the store process prints: kept in a file, and read when it fails."""

import io
import signal
from pathlib import Path

_ROTATE_BYTES = 1 << 20
_READ_BYTES = 1 << 16
_WORDS = 5


class ProcessLog:
    """A log file that knows where the output of the latest process begins."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start = 0

    def rotate(self) -> None:
        """Move a long log aside; the one before it is lost."""
        if self._path.exists() and self._path.stat().st_size > _ROTATE_BYTES:
            self._path.replace(self._path.with_suffix(".log.1"))

    def open(self) -> io.FileIO:
        """The file to which the next process appends."""
        output = io.FileIO(self._path, "a")
        self._start = output.tell()
        return output

    def latest(self) -> str:
        """What the latest process printed (its last 64 KiB)."""
        if not self._path.exists():
            return ""
        with self._path.open("rb") as output:
            end = output.seek(0, io.SEEK_END)
            output.seek(max(self._start, end - _READ_BYTES))
            return output.read().decode(errors="replace")

    def last_words(self) -> str:
        """The last lines in one, and where to find all."""
        lines = [line.strip() for line in self.latest().splitlines() if line.strip()]
        return f"the last lines of {self._path}: " + (" | ".join(lines[-_WORDS:]) or "(none)")


def ending_of(status: int | None) -> str:
    """How a process ended, for people, by its return code."""
    status = status or 0
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended ({status})"
