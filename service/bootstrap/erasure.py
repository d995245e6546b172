"""Wires the erasure of streamers."""

import asyncio
from collections.abc import Set
from functools import partial

from service.engine.replica.snapshots import Snapshots
from service.features.outreach.service import forget
from service.features.streamers.erasure import Erasure, Known
from service.features.streamers.write_pipeline import WritePipeline
from service.settings import Settings
from service.store.redis.backup import ArchivedStore


def erasure_of(
    store: ArchivedStore,
    writes: WritePipeline,
    saved: Snapshots,
    ids: Set[str],
    settings: Settings,
) -> Erasure:
    """Erases streamers from the store, and from the files of this replica.

    Args:
        store: of the streamers.
        writes: deletes them.
        saved: indexes of this replica.
        ids: of those whom the bundle lists as established.
        settings: how long what is left is kept.
    """

    async def discard() -> None:
        await asyncio.to_thread(saved.discard, "it may have a streamer that was erased")

    known = Known(ids.__contains__, settings.paging.keep_s, settings.audit.keep_days)
    return Erasure(store, writes.delete, discard, known, partial(forget, store.documents))
