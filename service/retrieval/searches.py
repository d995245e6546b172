"""Searches, on the event loop where they are quick, and in threads where they are not."""

import asyncio
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from service.batcher import queue_of_calls
from service.index.base import EVERYONE, Scorer, SearchResult, VectorIndex
from service.index.filters import Filter
from service.settings import Searching

Result = TypeVar("Result")


class Searches:
    """Runs what would keep the event loop from other requests in threads, a few at once."""

    def __init__(self, settings: Searching) -> None:
        """Threads and their queue as the settings say."""
        self._threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="search")
        self._queue = queue_of_calls(
            self._threads,
            workers=settings.threads,
            max_queue=settings.max_queue,
            deadline_ms=settings.deadline_ms,
            what="searches",
        )

    def start(self) -> None:
        """Begin to work, on the running event loop."""
        self._queue.start()

    async def stop(self) -> None:
        """Stop; whoever still waits gets Overloaded."""
        await self._queue.stop()
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def search(
        self,
        index: VectorIndex,
        seeds: NDArray[np.float32],
        scorer: Scorer | None,
        k: int,
        *,
        exclude: Collection[str] = (),
        min_score: float | None = None,
        wanted: Filter = EVERYONE,
        exact: bool = False,
        queued: bool = True,
    ) -> SearchResult:
        """As `VectorIndex.search`.

        Raises:
            Overloaded: `queued`, and too many wait already or the deadline passed.
        """

        def call() -> SearchResult:
            return index.search(
                seeds,
                scorer,
                k,
                exclude=exclude,
                min_score=min_score,
                wanted=wanted,
                exact=exact,
            )

        plain = scorer is None and min_score is None and not wanted and not exact
        if index.is_quick(k, plain=plain):
            return call()
        return await self.run(call, queued=queued)

    async def run(self, call: Callable[[], Result], *, queued: bool = True) -> Result:
        """What a call comes to, in a thread.

        Raises:
            Overloaded: as `search`.
            Exception: whatever the call raises.
        """
        if queued:
            return await self._queue.submit(call)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)
