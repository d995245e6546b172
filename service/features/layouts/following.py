"""Keeps a replica's map up to date: with the layout that the store names, and with every write."""

import asyncio
import contextlib
import logging

from service.engine.layouts.anchors import Placer
from service.engine.layouts.map import LayoutMap
from service.engine.replica.follower import Follower
from service.engine.work.background import Background
from service.engine.work.lanes import Lane, Lanes
from service.errors import NotReady, ServiceError
from service.features.layouts.storing import LayoutGone, LayoutRecord, StoredLayouts
from service.index.slots import Slotted

_log = logging.getLogger(__name__)
_LOOK_S = 1.0
"""Between two looks for writes, and for another layout."""


class LayoutFollower:
    """Serves the current layout; whoever is written is on the map a second or two later.

    Everyone is placed by the anchors, so every replica has the same map, and nothing of it has to
    be kept but these. They are read once: one that is erased is only missing from the next start.

    Attributes:
        record: the layout that is to be served; None before the first one.
        served: the map; of a layout that was replaced until the new one has everyone.
        has_looked: whether it is known if there is a layout.
    """

    def __init__(
        self, layouts: StoredLayouts, follower: Follower, model_version: str, lanes: Lanes
    ) -> None:
        """Serve nothing before `start`.

        Args:
            layouts: in the store.
            follower: of the index whose streamers are placed.
            model_version: whose vectors these have.
            lanes: where they are placed.
        """
        self.record: LayoutRecord | None = None
        self.served: LayoutMap | None = None
        self.has_looked = False
        self._layouts = layouts
        self._follower = follower
        self._model_version = model_version
        self._lanes = lanes
        self._trouble: str | None = "the layout is not read yet"
        self._placer: tuple[str, Placer] | None = None
        self._next: LayoutMap | None = None
        self._seen = -1
        self._woken = asyncio.Event()
        self._background = Background("layout")

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._background.start(self._run())

    async def stop(self) -> None:
        """Follow no more."""
        await self._background.stop()

    def wake(self) -> None:
        """Look at once."""
        self._woken.set()

    @property
    def problem(self) -> str | None:
        """Why the map may lack writes, or is missing; None when all is well."""
        if self._trouble is not None or self.served is None:
            return self._trouble
        if self.served.index is not self._follower.index:
            return (
                "the index was built anew: until everyone is placed again, the map lacks who was "
                "written since"
            )
        return self._follower.behind_because

    @property
    def coming(self) -> LayoutMap | None:
        """The map of a layout that is new, as long as not everyone is placed on it."""
        return self._next

    def indexed(self) -> Slotted:
        """The live index.

        Raises:
            NotReady: there is none yet.
        """
        index = self._follower.index
        assert isinstance(index, Slotted), "an index without slots has no map"
        return index

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            try:
                self._trouble = await self._look()
            except ServiceError as error:
                self._trouble = error.detail
            except LayoutGone:
                self._trouble = "the layout was replaced while it was read"
            except Exception as error:  # noqa: BLE001 - or the map would silently stand still
                _log.exception("the map can't be kept up to date")
                self._trouble = f"the map can't be kept up to date: {error!r}"
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._woken.wait()

    async def _look(self) -> str | None:
        """Do what is to be done; what else is wrong."""
        self.record = record = await self._layouts.current()
        self.has_looked = True
        if record is None:
            self.served = None
            return None
        if record.model_version != self._model_version:
            self.served = None
            return (
                f"the layout is of model {record.model_version}, this process serves "
                f"{self._model_version}: fit another one by POST /v1/layouts:fit"
            )
        index, served = self.indexed(), self.served
        if served is None or served.layout_id != record.layout_id or served.index is not index:
            begun = self._next  # by a look that was refused a thread, or was late
            if begun is None or begun.layout_id != record.layout_id or begun.index is not index:
                placer = await self._placer_of(record)
                self._next = LayoutMap(record.layout_id, placer, index)
            self._seen = -1
            if served is None:
                self.served = self._next
        elif self._follower.sequence == self._seen:
            return None
        seen, wanted = self._follower.sequence, self._next or served
        assert wanted is not None
        await self._lanes.run_in_slices(wanted.placing(), Lane.BULK)
        self.served, self._next, self._seen = wanted, None, seen
        return None

    async def _placer_of(self, record: LayoutRecord) -> Placer:
        """What places by a layout.

        Raises:
            NotReady: nobody is left by whom it could.
        """
        if self._placer is None or self._placer[0] != record.layout_id:
            anchors = await self._layouts.load(record)
            if anchors is None:
                raise NotReady(
                    "everyone that the layout was fitted on was erased: fit another one by "
                    "POST /v1/layouts:fit"
                )
            self._placer = record.layout_id, await asyncio.to_thread(Placer, anchors)
        return self._placer[1]
