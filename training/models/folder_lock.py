"""Lock of a folder that one process at a time may write to."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.errors import OutputError

LOCK = ".lock"


@contextmanager
def locked(folder: Path, in_use: str) -> Iterator[int]:
    """Hold the lock of an existing folder; yields its file descriptor, for child processes.

    Args:
        folder: the folder, which keeps an empty file.
        in_use: what is said where another process holds the lock.

    Raises:
        OutputError: it is held, or the folder can't be written to.
    """
    try:
        file = (folder / LOCK).open("w")
    except OSError as error:
        raise OutputError(
            f"{folder} can't be used: {error.strerror}; choose another folder"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(f"{folder} is in use by {in_use}") from None
        yield file.fileno()
