"""Wires spaces: their store, what receives and checks hand-overs, and what follows the store."""

import asyncio
import contextlib

from model_export.contract.established import Established
from service.engine.serving import Serving
from service.engine.spaces.active import ActiveSpaces
from service.engine.spaces.generation import FitGeneration
from service.engine.work.lanes import Lanes
from service.features.spaces.checking import Before, Checker
from service.features.spaces.counts import SpaceCounts
from service.features.spaces.following import SpaceFollower
from service.features.spaces.graduation import Graduations
from service.features.spaces.receiving import Receiver
from service.features.spaces.service import Spaces
from service.files.spool import Spool
from service.settings import Settings
from service.store.redis.backup import ArchivedStore


async def open_spaces(
    store: ArchivedStore,
    serving: Serving,
    lanes: Lanes,
    settings: Settings,
    established: Established | None,
    stack: contextlib.AsyncExitStack,
    active: ActiveSpaces,
    fit: FitGeneration,
) -> tuple[Spaces, SpaceCounts]:
    """Spaces, and what follows the store, which `stack` stops.

    Args:
        store: of the service.
        serving: the bundle that is served, and the index.
        lanes: where work is done.
        settings: of the service.
        established: what the bundle knows of a recommender's vectors.
        stack: stops what is started.
        active: what is served, which this fills.
        fit: makes of a generation what answers need, before it serves.
    """
    kept, known = store.spaces, settings.spaces
    spool = Spool(settings.spaces_folder, known.spool_bytes, "STREAMER_SPACES")
    await asyncio.to_thread(spool.open)
    receiver = Receiver(kept, spool, Checker(serving.follower, lanes, known), lanes, known)
    await receiver.sweep()
    follower = SpaceFollower(kept, active, fit, lanes, spool.folder, known.promote_timeout_s)
    await follower.start()
    stack.push_async_callback(follower.stop)
    id_space = serving.manifest.id_space

    def bundle_space(space: str) -> Before | None:
        if established is None or id_space is None or space != id_space.name:
            return None
        return Before("the bundle", established.ids, established.vectors)

    graduations = Graduations(lanes, known.min_interactions)
    spaces = Spaces(kept, receiver, follower, active, lanes, known, bundle_space, graduations)
    return spaces, SpaceCounts(active, follower)
