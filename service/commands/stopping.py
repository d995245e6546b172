"""Signals that end a command which has something to put in order first."""

import contextlib
import math
import signal
import time
from collections.abc import Callable, Generator
from types import FrameType

_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_REPEATS_S = 1.0


class Interrupted(KeyboardInterrupt):
    """A signal told the command to end.

    Attributes:
        status: with which it ends.
    """

    def __init__(self, number: int) -> None:
        """Tell its name."""
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


@contextlib.contextmanager
def interruptible(clock: Callable[[], float] = time.monotonic) -> Generator[None, None, None]:
    """Have a signal that ends the command raise `Interrupted`, so that no draft is left behind.

    Those of the next second change nothing: a terminal and whoever started the command may both
    send one. A later one raises again, since Python swallows what is raised in a finalizer.
    """
    quiet_until, is_over, late = -math.inf, False, list[int]()

    def interrupt(number: int, _: FrameType | None) -> None:
        nonlocal quiet_until
        if (now := clock()) < quiet_until:
            return
        quiet_until = now + _REPEATS_S
        if not is_over:
            raise Interrupted(number)
        late.append(number)  # the handlers before are put back first

    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    before = {n: handler for n, handler in handlers.items() if handler != signal.SIG_IGN}
    try:
        for number in before:
            signal.signal(number, interrupt)
        yield
    finally:
        is_over = True
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in late:
            signal.raise_signal(number)


@contextlib.contextmanager
def undisturbed() -> Generator[None, None, None]:
    """Have such a signal wait for the end of steps that belong together."""
    late: list[int] = []
    before = {n: signal.signal(n, lambda number, _: late.append(number)) for n in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for number in late:
        signal.raise_signal(number)
