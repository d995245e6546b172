"""Wires the erasure of streamers: the store, this replica's files, and what people keep."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import partial

from service.engine.names.follower import Names
from service.engine.replica.snapshots import Snapshots
from service.features.lists.forgetting import forget as forget_lists
from service.features.outreach.service import forget
from service.features.ratings.service import Ratings
from service.features.streamers.erasure import Erasure, Known
from service.features.streamers.write_pipeline import WritePipeline
from service.settings import Settings
from service.store.redis.backup import ArchivedStore


async def forget_copies(names: Names, saved: Snapshots) -> None:
    """Remove what files of one model may have of a streamer that was erased."""
    await names.purge()
    await asyncio.to_thread(saved.discard, "it may have a streamer that was erased")


def erasure_of(
    store: ArchivedStore,
    writes: WritePipeline,
    copies: Collection[Callable[[], Awaitable[None]]],
    ratings: Ratings,
    established: Iterable[str],
    settings: Settings,
    *erase_copies: Callable[[str], Awaitable[object]],
) -> Erasure:
    """The use-case; arguments as of `Erasure`, ids that a bundle lists, `copies` of all models."""

    async def discard(streamer_id: str) -> None:
        await ratings.forget(streamer_id)
        for forget_them in list(copies):
            await forget_them()

    listed = frozenset(established)
    known = Known(listed.__contains__, settings.paging.keep_s, settings.audit.keep_days)
    outreach = partial(forget, store.documents)
    lists = partial(forget_lists, store.documents)
    return Erasure(store, writes.delete, discard, known, outreach, lists, *erase_copies)
