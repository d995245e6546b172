"""A task that runs beside its owner, from the owner's start to its end."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Background:
    """At most one task; it is cancelled when its owner stops."""

    def __init__(self, name: str) -> None:
        """Run nothing before `start`; `name` is for people who look at tasks."""
        self._name = name
        self._task: asyncio.Task[None] | None = None

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin, on the running event loop."""
        self._task = asyncio.create_task(work, name=self._name)

    async def stop(self) -> None:
        """Cancel it and wait until it is over; what it raised is not looked at."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
