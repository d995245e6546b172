"""Wires the map: its layouts in the store, what keeps it up to date, and the job that fits."""

import asyncio
import contextlib

from service.engine.folders import OwnFolders
from service.engine.serving import Serving
from service.engine.work.lanes import Lanes
from service.errors import NotYetVisible
from service.features.jobs.service import Jobs
from service.features.layouts.changing import Beside, ModelChanges
from service.features.layouts.counts import LayoutCounts
from service.features.layouts.following import LayoutFollower
from service.features.layouts.jobs import LayoutJobs
from service.features.layouts.service import Layouts
from service.features.layouts.storing import StoredLayouts
from service.settings import Settings
from service.store.duplicates import GroupStore
from service.store.redis.backup import ArchivedStore

_LOOK_S = 0.2
_CATCH_UP_MS = 10_000
"""Then it is asked again where the log ends: the store may be an older one by now."""


class LayoutParts:
    """What `open_services` makes features of.

    Attributes:
        follower: of the current layout; to be started and stopped.
        jobs: the kind of job.
        counts: for `/metrics`.
        folders: of fits; what killed processes left is swept once.
    """

    def __init__(
        self,
        store: ArchivedStore,
        groups: GroupStore,
        serving: Serving,
        lanes: Lanes,
        settings: Settings,
        beside: Beside,
    ) -> None:
        """Nothing is read yet; `beside` tells of the other model."""
        follower, version = serving.follower, serving.model_version

        async def ready() -> None:
            while not follower.is_ready:  # noqa: ASYNC110 - told to nobody, and once
                await asyncio.sleep(_LOOK_S)

        async def caught_up() -> None:
            while True:
                until = (await store.position()).sequence
                with contextlib.suppress(NotYetVisible):
                    return await follower.wait_for(until, _CATCH_UP_MS)

        stored = StoredLayouts(store.documents, lanes)
        self.follower = LayoutFollower(stored, follower, version, lanes)
        self.folders = OwnFolders(settings.data_dir / "layouts")
        self.jobs = LayoutJobs(
            stored, self.follower, ready, caught_up, version, lanes, self.folders
        )
        self.counts = LayoutCounts(self.follower)
        self._groups, self._lanes = groups, lanes
        self._changes = ModelChanges(beside, lanes)

    def open(self, jobs: Jobs) -> Layouts:
        """The use-cases, which queue fits by `jobs`."""
        return Layouts(jobs, self.follower, self._groups, self._changes, self._lanes)
