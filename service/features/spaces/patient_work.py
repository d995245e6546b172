"""Work of hand-overs in the slowest lane: it waits for a turn as long as that takes."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import TypeVar

from service.engine.work.lanes import Lane, Lanes
from service.engine.work.resumable import Resumable
from service.errors import Overloaded

Result = TypeVar("Result")
_PAUSE_S = 0.2
_PAUSES = 300


async def in_slices(lanes: Lanes, work: Generator[object, None, Result]) -> Result:
    """What a generator returns, run in slices between the work of others.

    Raises:
        Overloaded: there was no turn for it in a minute.
        Exception: whatever it raises.
    """
    resumable = Resumable(work)
    return await _patiently(lambda: lanes.run_in_slices(resumable, Lane.BULK))


async def in_a_thread(lanes: Lanes, call: Callable[[], Result]) -> Result:
    """What a call of some milliseconds comes to, in a thread.

    Raises:
        Overloaded: there was no turn for it in a minute.
        Exception: whatever it raises.
    """
    return await _patiently(lambda: lanes.run(call, Lane.BULK))


async def _patiently(call: Callable[[], Awaitable[Result]]) -> Result:
    for _ in range(_PAUSES):
        try:
            return await call()
        except Overloaded:
            await asyncio.sleep(_PAUSE_S)
    return await call()
