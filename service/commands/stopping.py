"""Signals that end a command which has something to put in order first."""

import contextlib
import signal
from collections.abc import Generator
from types import FrameType

_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


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
def interruptible() -> Generator[None, None, None]:
    """Have a signal that ends the command raise `Interrupted`, so that no draft is left behind.

    Those that follow change nothing: a terminal and whoever started the command may both send one.
    """

    def interrupt(number: int, _: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(number)

    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    before = {n: handler for n, handler in handlers.items() if handler != signal.SIG_IGN}
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
