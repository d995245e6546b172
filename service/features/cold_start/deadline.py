"""The time that a question leaves for its answer."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

Result = TypeVar("Result")


class Deadline:
    """Ends what takes longer than the caller waits."""

    def __init__(self, after_ms: int | None) -> None:
        """Begin now; None: there is no end."""
        loop = asyncio.get_running_loop()
        self._at = None if after_ms is None else loop.time() + after_ms / 1000

    async def within(self, work: Awaitable[Result]) -> Result | None:
        """What the work comes to; None if it is not done in time, and is then cancelled."""
        try:
            async with asyncio.timeout_at(self._at):
                return await work
        except TimeoutError:
            return None
