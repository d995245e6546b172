"""Wires the erasure of streamers: the store, this replica's files, and what people keep."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from functools import partial

from service.engine.names.follower import Names
from service.engine.replica.snapshots import Snapshots
from service.engine.work.lanes import Lanes
from service.features.cases.keeping import KeptCases
from service.features.layouts.storing import StoredLayouts
from service.features.lists.forgetting import forget as forget_lists
from service.features.models.comparing.keeping import Comparisons
from service.features.models.live.keeping import ShadowReports
from service.features.outreach.service import forget
from service.features.ratings.service import Ratings
from service.features.streamers.erasure import Delete, Erasure, Known
from service.features.watchlists.erasing import SeedCopies
from service.store.redis.backup import ArchivedStore
from service.store.redis.duplicates.groups import RedisGroups
from service.store.redis.events.feed import RedisEvents

DropFiles = Callable[[], Awaitable[None]]


async def forget_copies(names: Names, saved: Snapshots) -> None:
    """Remove what files of one model may have of a streamer that was erased."""
    await names.purge()
    await asyncio.to_thread(saved.discard, "it may have a streamer that was erased")


def erasure_of(
    store: ArchivedStore,
    lanes: Lanes,
    delete: Delete,
    known: Known,
    in_spaces: Callable[[str], Awaitable[object]],
    files: Collection[DropFiles] = (),
) -> Erasure:
    """The use-case, for a service and for the command: both remove the same from the store.

    Args:
        store: of the streamers, and of what people keep.
        lanes: where work is done.
        delete: as of `Erasure`.
        known: as of `Erasure`.
        in_spaces: removes a streamer's ID-embedding.
        files: each removes files of one model of this replica; looked at when one is erased.
    """
    documents = store.documents

    async def drop(streamer_id: str) -> None:
        await Ratings(documents, store).forget(streamer_id)
        for drop_them in list(files):
            await drop_them()

    return Erasure(
        store,
        delete,
        drop,
        known,
        partial(forget, documents),
        partial(forget_lists, documents),
        KeptCases(documents, lanes).erase,
        SeedCopies(documents).erase,
        StoredLayouts(documents, lanes).erase,
        Comparisons(documents).erase,
        ShadowReports(documents).erase,
        RedisGroups(store.client, store.judgements, RedisEvents(store.client)).forget,
        in_spaces,
    )
