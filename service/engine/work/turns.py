"""Bounded turns, with a deadline, for answers that take many steps."""

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator

from service.errors import Overloaded

_LATEST = 0.2
"""Weight of the latest turn in the smoothed length of one."""


class Turns:
    """Lets so many at a time make their answer; others wait in order, or are refused at once."""

    def __init__(self, what: str, *, at_once: int, max_queue: int, deadline_s: float) -> None:
        """Queue for turns.

        Args:
            what: is made in a turn, in the plural, for those who are refused.
            at_once: turns under way.
            max_queue: how many may wait.
            deadline_s: how long they may wait for a turn, not counting the turn itself.
        """
        self._what = what
        self._at_once = at_once
        self._max_queue = max_queue
        self._deadline_s = deadline_s
        self._free = asyncio.Semaphore(at_once)
        self._waiting = 0
        self._length_s = 0.0

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncGenerator[None, None]:
        """Wait for a turn, which lasts until the context is left.

        Raises:
            Overloaded: too many wait already, or one more would not come to its turn in time, or
                did not.
        """
        wait_s = (self._waiting + 1) * self._length_s / self._at_once
        if self._free.locked() and (self._waiting >= self._max_queue or wait_s > self._deadline_s):
            detail = f"{self._waiting} {self._what} are waiting already"
            raise Overloaded(detail, max(1, math.ceil(wait_s)))
        loop = asyncio.get_running_loop()
        self._waiting += 1
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._free.acquire()
        except TimeoutError:
            late = f"{self._what}: none had its turn within {self._deadline_s:g} s"
            raise Overloaded(late, max(1, math.ceil(self._length_s))) from None
        finally:
            self._waiting -= 1
        begin = loop.time()
        try:
            yield
        finally:
            self._free.release()
            share = _LATEST if self._length_s else 1
            self._length_s += share * (loop.time() - begin - self._length_s)
