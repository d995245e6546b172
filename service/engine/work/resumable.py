"""Work in slices that is asked for again when the answer to a slice came too late."""

import threading
from collections.abc import Generator
from typing import Any, TypeVar

Result = TypeVar("Result")


class Resumable(Generator[object, None, Result]):
    """A generator that several threads may go on with, one after the other.

    A thread may be at a slice, or at the last one, when nobody waits for it any more. Who goes on
    waits for its step to end, and is told again what the work returned or raised.
    """

    def __init__(self, work: Generator[object, None, Result]) -> None:
        """Go on with `work`, which nobody else does."""
        self._work = work
        self._step = threading.Lock()
        self._end: BaseException | None = None

    def send(self, value: None) -> object:
        """Take a step; call it in a thread.

        Raises:
            StopIteration: with what the work returned, each time.
            BaseException: whatever it raised, each time.
        """
        with self._step:
            return self._go_on(lambda: self._work.send(value))

    def throw(self, *error: Any) -> object:
        """Have the work raise an error where it is."""
        with self._step:
            return self._go_on(lambda: self._work.throw(*error))

    def _go_on(self, step: Any) -> object:
        if self._end is not None:
            raise self._end
        try:
            return step()
        except BaseException as end:
            self._end = end
            raise
