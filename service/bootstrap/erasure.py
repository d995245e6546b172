"""Wires erasure: what is removed beside the record."""

import asyncio
from collections.abc import Set

from service.engine.names.follower import Names
from service.engine.replica.snapshots import Snapshots
from service.features.ratings.service import Ratings
from service.features.streamers.erasure import Erasure, Known
from service.features.streamers.write_pipeline import WritePipeline
from service.settings import Settings
from service.store.base import StreamerStore


def erasure_of(
    store: StreamerStore,
    writes: WritePipeline,
    saved: Snapshots,
    names: Names,
    ratings: Ratings,
    established: Set[str],
    settings: Settings,
) -> Erasure:
    """The use-case of erasing a streamer, from the store and from the files of this replica.

    Args:
        store: of the streamers.
        writes: deletes a record.
        saved: indexes of this replica.
        names: the file of names of this replica.
        ratings: of which those go that name the streamer.
        established: ids that the bundle lists.
        settings: of the service.
    """

    async def discard(streamer_id: str) -> None:
        await ratings.forget(streamer_id)
        await names.purge()
        await asyncio.to_thread(saved.discard, "it may have a streamer that was erased")

    known = Known(established.__contains__, settings.paging.keep_s, settings.audit.keep_days)
    return Erasure(store, writes.delete, discard, known)
