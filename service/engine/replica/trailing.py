"""How far work on the log trails the store, told by every process, whichever does the work."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from service.engine.replica.lag import Lag
from service.engine.work.background import Background
from service.store.base import Position

_LOOK_S = 1.0


class TrailingLag:
    """Bounds the time since all that was written was worked on, by a look each second.

    It goes on while nobody does the work, or one after the other begins and fails; and while nobody
    can look, since then nothing is known to be done.
    """

    def __init__(
        self,
        end: Callable[[], Awaitable[Position]],
        reached: Callable[[], Awaitable[Position | None]],
    ) -> None:
        """Look at nothing before `start`.

        Args:
            end: where the log ends.
            reached: up to where the work is done, by any process; None = nothing is.
        """
        self._end = end
        self._reached = reached
        self._at = Position("", 0)
        self._lag: Lag | None = None
        self._background = Background("lag")

    @property
    def lag_s(self) -> float | None:
        """Seconds, counted from `start` where it began before; None while nobody looks."""
        return self._lag and self._lag.lag_s(self._at, time.monotonic())

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._lag, self._at = Lag(time.monotonic()), Position("", 0)
        self._background.start(self._run(self._lag))

    async def stop(self) -> None:
        """Look no more."""
        await self._background.stop()
        self._lag = None

    async def _run(self, lag: Lag) -> None:
        while True:
            with contextlib.suppress(Exception):  # whoever does the work says what is wrong
                began = time.monotonic()
                lag.saw(began, await self._end())
                self._at = await self._reached() or Position("", 0)
            await asyncio.sleep(_LOOK_S)
