"""Tells those who wait that the feed has grown; the store is asked once for all of them."""

import asyncio

from service.features.events.kinds import Selection
from service.store.events import EventStore, FeedPlace

LOOK_S = 0.2
"""News are seen at most so late."""


class News:
    """Looks at the feed while somebody waits."""

    def __init__(self, store: EventStore) -> None:
        """Look at nothing yet."""
        self._store = store
        self._looking: asyncio.Task[FeedPlace] | None = None

    async def stop(self) -> None:
        """Look no more, before the store is closed."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def wait(self, seen: FeedPlace, selection: Selection, timeout_s: float) -> bool:
        """Wait until there is something behind a place in the selected groups.

        Returns:
            Whether there is; False after `timeout_s` seconds.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        clock = asyncio.get_running_loop()
        ends = clock.time() + timeout_s
        while True:
            newest = await self._look()
            if newest.epoch != seen.epoch:
                return True
            groups = newest.numbers if selection.groups is None else selection.groups
            if any(newest.numbers.get(g, 0) > seen.numbers.get(g, 0) for g in groups):
                return True
            if clock.time() >= ends:
                return False

    async def _look(self) -> FeedPlace:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._newest(), name="news of the feed")
            self._looking.add_done_callback(_seen)
        return await asyncio.shield(self._looking)

    async def _newest(self) -> FeedPlace:
        await asyncio.sleep(LOOK_S)
        return await self._store.newest()


def _seen(task: asyncio.Task[FeedPlace]) -> None:
    """All who waited may have left: nobody else would look at a failure."""
    if not task.cancelled():
        task.exception()
