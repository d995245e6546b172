"""Long work lets whoever waits for an answer go first, on the event loop and in threads."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable

_STEP_S, _STEPS = 0.001, 2
_PAUSE_S = 0.004
"""Between slices while somebody asks. As long as a short slice, so that half of the time is left to
them: who follows the log and falls too far behind has to do all anew."""


class GiveWay:
    """Called between two pieces of long work.

    A question goes through the event loop several times, and each time would wait for the piece
    that has just begun. In a thread it gives Python's lock away for each array, and would get it
    back from a thread that computes in Python only when the interpreter takes it from that one.

    Attributes:
        is_asked: whether somebody waits for an answer; any thread may call it.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        """Nobody asks, as far as is known; `now` tells the time in seconds."""
        self.is_asked: Callable[[], bool] = lambda: False
        self._now = now
        self._one = asyncio.Lock()
        self._due = 0.0

    async def __call__(self) -> None:
        """Let others have their turn; while somebody waits for an answer, for two milliseconds."""
        await asyncio.sleep(0)
        for _ in range(_STEPS):
            if not self.is_asked():
                return
            await asyncio.sleep(_STEP_S)

    @contextlib.asynccontextmanager
    async def slice(self) -> AsyncGenerator[bool, None]:
        """Hold a slice of work in a thread: while somebody asks, one at a time, after a pause.

        Yields:
            Whether somebody asks still, so that the slice should be short.
        """
        try:
            if not self.is_asked():
                yield False
                return
            async with self._one:
                # No event tells of the last request that ends: each of thousands would set it.
                while (is_asked := self.is_asked()) and self._now() < self._due:  # noqa: ASYNC110
                    await asyncio.sleep(_STEP_S)
                yield is_asked
        finally:
            self._due = self._now() + _PAUSE_S
