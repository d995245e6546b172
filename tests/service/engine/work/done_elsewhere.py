"""Work for other processes, which import this module and nothing large."""

import os
import signal

_known = 0


def remember(number: int) -> None:
    global _known
    _known = number


def prepare_nothing() -> None:
    """For workers that need nothing."""


def told() -> tuple[int, int]:
    return _known, os.getpid()


def fails() -> None:
    raise ValueError("no")


def dies() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
