"""Jobs that build the index of a replica anew from the store, while the old one answers."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from service.engine.replica.maintenance import IndexMaintenance
from service.engine.serving import Serving
from service.features.jobs.runner import Kind, RunningJob, persist
from service.features.jobs.service import Jobs
from service.scopes import Scope
from service.store.base import StreamerStore
from service.store.jobs import Job
from service.store.once import Once

KIND = "index_rebuild"
_PROGRESS_S = 0.5


class IndexRebuildJobs(Kind):
    """The work of rebuilds: one replica after the other, so that the others answer as fast as ever.

    A process that dies in one loses its whole index: the next process of that replica begins anew.
    """

    is_alone = True
    scope: Scope = "admin"

    def __init__(
        self, store: StreamerStore, serving: Serving, maintenance: IndexMaintenance
    ) -> None:
        """Rebuild the index of `serving` from `store`."""
        self._store = store
        self._serving = serving
        self._maintenance = maintenance

    async def run(self, job: RunningJob) -> Mapping[str, Any]:
        """Rebuild it; see `service.features.jobs.runner.Kind`."""
        follower, snapshots = self._serving.follower, self._serving.snapshots
        tell = _teller(job, await persist(self._store.count))
        await persist(lambda: follower.rebuild(tell, self._maintenance.prepare))
        # Saved ones are of the index before; the next one is due at once.
        await asyncio.to_thread(snapshots.discard, "the index was rebuilt from the store")
        return {
            "replica": job.job.place,
            "streamers": follower.index.count,
            "skipped": follower.skipped.count,
            "sequence": follower.sequence,
            "model_version": self._serving.model_version,
            "segment": follower.index.state().kind,
        }


class IndexRebuilds:
    """Queues rebuilds of this replica's index."""

    def __init__(self, jobs: Jobs, replica: str) -> None:
        """Queue by `jobs`, for the replica of that name."""
        self._jobs = jobs
        self._replica = replica

    async def start(self, once: Once | None, by: tuple[str, str]) -> Job:
        """Queue one, or find that of an earlier request; see `Jobs.submit`."""
        return await self._jobs.start(KIND, {}, place=self._replica, once=once, by=by)


def _teller(job: RunningJob, total: int) -> Callable[[int], Awaitable[None]]:
    """Records how many streamers were read, at most so often."""
    told_at = float("-inf")

    async def tell(done: int) -> None:
        nonlocal told_at
        now = asyncio.get_running_loop().time()
        if now - told_at >= _PROGRESS_S or done >= total:
            told_at = now
            await job.advance({}, done, max(total, done))

    return tell
