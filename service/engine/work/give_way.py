"""Long work lets whoever waits for an answer go first, on the event loop and in threads."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Generator
from typing import TypeVar

Result = TypeVar("Result")
_STEP_S, _LET_S = 0.001, 0.008
"""An answer of some milliseconds ends meanwhile. With less answers took longer; with 12 ms, a load
beside questions that followed each other had half of its pace.
A busy event loop makes each step longer: they are not counted."""
_TURN_S = 0.002
"""How long work keeps the event loop at a time. To give way after each of many short pieces had
the encoding of a hundred profiles take twenty seconds on a busy machine."""
_SHORT_S = 0.004
"""How long a slice computes that begins while somebody waits for an answer."""
_LONG_S = 0.1
"""A slice that waits longer for a thread would be late for ever, if it were short as well."""
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
        is_pressed: whether work in slices is so far behind that it gives way to nobody.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        """Nobody asks, as far as is known; `now` tells the time in seconds."""
        self.is_asked: Callable[[], bool] = lambda: False
        self.is_pressed = False
        self._now = now
        self._one = asyncio.Lock()
        self._due = 0.0

    async def __call__(self) -> None:
        """Let others have their turn: eight milliseconds while somebody waits for an answer."""
        await asyncio.sleep(0)
        end = self._now() + _LET_S
        while self.is_asked() and self._now() < end:  # noqa: ASYNC110 - as in `slice`
            await asyncio.sleep(_STEP_S)

    async def after(self, begin: float) -> float:
        """Let others have their turn if this one was long; when the present one began.

        Args:
            begin: when this one did, in seconds by `time.perf_counter`.
        """
        if self._now() - begin < _TURN_S:
            return begin
        await self()
        return self._now()

    def press(self, is_pressed: bool) -> None:
        """Hear whether work in slices is far behind."""
        self.is_pressed = is_pressed

    def ends_slices(self) -> bool:
        """Whether a slice of work in a thread should end; any thread may call it."""
        return not self.is_pressed and self.is_asked()

    def run_slice(
        self, work: Generator[object, None, Result], most_s: float, asked: float | None
    ) -> list[Result]:
        """Go on with work, in a thread, for some time; what it returns, or nothing yet.

        Args:
            work: what is done.
            most_s: seconds after which it pauses.
            asked: when a thread was asked for, by `time.perf_counter`: once somebody waits for an
                answer it pauses sooner, but where it waited long itself; None: it never does.
        """
        begin, now = time.thread_time(), time.perf_counter()
        is_whole = asked is None or now - asked > _LONG_S
        least_s = _SHORT_S if self.ends_slices() else 0.0
        try:
            while True:
                next(work)
                if time.perf_counter() >= now + most_s:
                    return []
                if is_whole or time.thread_time() - begin < least_s:
                    continue
                if self.ends_slices():
                    return []
        except StopIteration as end:
            return [end.value]

    @contextlib.asynccontextmanager
    async def slice(self) -> AsyncGenerator[None, None]:
        """Hold a slice of work in a thread: while somebody asks, one at a time, after a pause."""
        try:
            if not self.ends_slices():
                yield
                return
            async with self._one:
                # No event tells of the last request that ends: each of thousands would set it.
                while self.ends_slices() and self._now() < self._due:  # noqa: ASYNC110
                    await asyncio.sleep(_STEP_S)
                yield
        finally:
            self._due = self._now() + _PAUSE_S
