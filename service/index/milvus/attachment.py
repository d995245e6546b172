"""What an index asks of one cluster: a collection, and in memory whatever that lacks."""

import asyncio
from collections.abc import Collection
from typing import NamedTuple

from service.errors import NotReady
from service.index.base import Change, ClusterState
from service.index.milvus.base import MilvusBase, Served
from service.index.milvus.directory import Directory
from service.index.milvus.monitor import MilvusMonitor
from service.index.milvus.overlay import Overlay

_READ_AT_ONCE = 500
_VERSIONS_PER_TURN = 500


class Attached(NamedTuple):
    """What is asked, and what is beside it: one value, so that no question mixes two."""

    served: Served
    overlay: Overlay


class Attachment:
    """One cluster, as one index knows it.

    Each has an overlay of its own: that of a cluster which lags or is down grows, up to a bound,
    and no question to another cluster scans it.

    Attributes:
        base: the cluster.
        monitor: of the recall of its collection.
    """

    def __init__(
        self, base: MilvusBase, directory: Directory, established: Collection[str]
    ) -> None:
        """Nothing is attached before the cluster serves.

        Args:
            base: the cluster.
            directory: of all streamers.
            established: ids of established streamers.
        """
        self.base = base
        self.monitor = MilvusMonitor(base.connection, base.bounds.floor)
        self._directory = directory
        self._established = established
        self._attached: Attached | None = None
        self._coming: Overlay | None = None  # of another collection
        self._no_room: tuple[str, int] | None = None  # for a collection, settled up to there
        base.add(self)

    @property
    def attached(self) -> Attached | None:
        """What is asked; None while there is nothing, whether the cluster answers or not."""
        return self._attached

    @property
    def overlay_rows(self) -> int:
        """Streamers with a vector that are searched in memory."""
        return 0 if self._attached is None else len(self._attached.overlay)

    @property
    def trouble(self) -> str | None:
        """Why it can't be asked, for people; None while it can."""
        if self.base.trouble is not None or self._attached is not None:
            return self.base.trouble
        return self.base.bounds.overflow

    def asked(self) -> Attached:
        """What a question asks.

        Raises:
            NotReady: it can't be asked.
        """
        attached = self._attached
        if self.base.trouble is not None or attached is None:
            raise NotReady(self.base.trouble or self.base.bounds.overflow)
        return attached

    def state(self, *, serves: bool) -> ClusterState:
        """How it is; `serves` tells whether it is asked first, and can be."""
        settled = None if self._attached is None else self._attached.served.settled
        return ClusterState(self.base.name, serves, settled, self.overlay_rows, self.trouble)

    def keep(self, change: Change) -> None:
        """Take a change into the overlay."""
        if self._coming is not None:
            self._coming.apply(change)
        if self._attached is not None:
            self._attached.overlay.apply(change)
            if self._attached.overlay.versions > self.base.bounds.most_rows:
                self._attached = None

    async def adopt(self, served: Served) -> None:
        """Ask this collection from now on; what is newer is read from the store if it must be."""
        mine = self._attached
        if (
            mine is None
            or mine.served.collection != served.collection
            or served.settled < mine.served.settled
        ):
            wanted = served.collection, served.settled
            if mine is None and wanted == self._no_room:
                return
            overlay = await self._filled(served)
            self._attached = None if overlay is None else Attached(served, overlay)
            self._no_room = wanted if overlay is None else None
        else:
            await self._trim(served, mine)

    async def _trim(self, served: Served, mine: Attached) -> None:
        """Let settled versions leave the overlay, some at a time."""
        mine.overlay.keep(served.refused)
        at, settled = mine.served.settled, served.settled
        left = {version for version in served.refused - mine.served.refused if version <= at}
        if left:  # before an audit found that Milvus lacks them
            await self._read(mine.overlay, left)
        if self._attached is not None and mine.served != served._replace(settled=at):
            self._attached = Attached(served._replace(settled=at), mine.overlay)
        while at < settled and self._attached is not None:
            at = min(at + _VERSIONS_PER_TURN, settled) if mine.overlay.versions else settled
            # Before rows go: whoever merges meanwhile does it again.
            self._attached = Attached(served._replace(settled=at), mine.overlay)
            mine.overlay.trim(at)
            await asyncio.sleep(0)

    async def _filled(self, served: Served) -> Overlay | None:
        """An overlay with every version that Milvus lacks; None where there is no room for them."""
        overlay = Overlay(self.base.shape.dim, self._established, served.settled)
        overlay.keep(served.refused)
        self._coming = overlay  # what is written from here on is none of those that are listed
        try:
            lacking = await asyncio.to_thread(self._directory.newest, served.settled)
            if len(lacking.versions) > self.base.bounds.most_rows // 2:
                return None
            await self._read(overlay, served.refused.union(lacking.versions.tolist()))
        finally:
            self._coming = None
        return overlay

    async def _read(self, overlay: Overlay, versions: Collection[int]) -> None:
        """Take versions that are newest into an overlay, from the store."""
        ids = [*(await asyncio.to_thread(self._directory.ids_of, versions)).values()]
        for start in range(0, len(ids), _READ_AT_ONCE):
            some = ids[start : start + _READ_AT_ONCE]
            for entry in await self.base.source.entries(some):
                if entry is not None and self._directory.version(entry.streamer_id):
                    overlay.apply(entry)
