"""Wires finding streamers by name: the file, what keeps it up to date, and what searches it."""

import asyncio

from service.engine.names.finder import Finder
from service.engine.names.follower import Names
from service.engine.replica.follower import Follower
from service.engine.work.lanes import Lanes
from service.features.find.counts import NameCounts
from service.features.find.service import Find
from service.settings import Settings
from service.store.base import StreamerStore

NAMES = "names"
"""The folder of files of names, below the data folder."""
_LOOK_S = 0.2


class FindParts:
    """What `open_services` makes features of.

    Attributes:
        names: keeps the file; to be started and stopped.
        find: the use-cases.
        counts: for `/metrics`.
    """

    def __init__(
        self, store: StreamerStore, lanes: Lanes, follower: Follower, settings: Settings
    ) -> None:
        """Nothing is read yet."""

        async def ready() -> None:
            while not follower.is_ready:  # noqa: ASYNC110 - told to nobody, and once
                await asyncio.sleep(_LOOK_S)

        folder = settings.data_dir / NAMES
        self.names = Names(store, lanes, folder, ready, lambda: follower.head)
        timeout_ms = settings.limits.visible_timeout_ms
        self.find = Find(Finder(self.names, lanes), follower, timeout_ms)
        self.counts = NameCounts(self.names)
