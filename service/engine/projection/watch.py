"""Tells the indexes of this process which collection they ask, and whether it can be searched."""

import asyncio
import logging
import time
from typing import Protocol

from service.engine.projection.record import Projection, Projections
from service.engine.replica.follower import Follower
from service.engine.work.background import Background
from service.errors import ServiceError, Unavailable
from service.index.milvus.base import MilvusBase, Served

_log = logging.getLogger(__name__)
_LOOK_S, _PROBE_S = 0.25, 2.0


class Writer(Protocol):
    """Who may write the collection; `writes` tells whether it does."""

    writes: bool


class CollectionWatch:
    """Looks at the record of the collection, four times a second, and searches the collection."""

    def __init__(
        self,
        records: Projections,
        base: MilvusBase,
        follower: Follower,
        projector: Writer,
        margin_s: float,
    ) -> None:
        """Nothing is looked at before `start`.

        Args:
            records: which collection serves, and up to where it is complete.
            base: what is told.
            follower: the place of the live index in the log.
            projector: tells whether this process writes the collection, and so removes garbage
                from it.
            margin_s: what was written so long ago is seen by everyone.
        """
        self._records = records
        self._base = base
        self._follower = follower
        self._projector = projector
        self._blind_s = margin_s / 2
        self._seen_at = time.monotonic()
        self._history: tuple[str, str] | None = None
        self._probed: tuple[str, float] = "", 0.0
        self._running = Background("watch of the collection")

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._running.start(self._run())

    async def stop(self) -> None:
        """Look no more."""
        await self._running.stop()

    async def _run(self) -> None:
        while True:
            try:
                await self._look()
            except Unavailable as error:
                # The overlay keeps what it has, but not for ever: others may delete meanwhile.
                _log.debug("the record of the collection can't be read: %s", error)
                if time.monotonic() > self._seen_at + self._blind_s:
                    self._base.trouble = (
                        f"the record of the collection can't be read: {error.detail}"
                    )
            except Exception as error:  # noqa: BLE001 - or answers would silently grow old
                _log.exception("Milvus cluster %s can't be looked at", self._base.name)
                self._base.trouble = f"the collection can't be looked at: {error!r}"
            await asyncio.sleep(_LOOK_S)

    async def _look(self) -> None:
        _, record = await self._records.get()
        self._seen_at = time.monotonic()
        if self._history != (record.collection, record.epoch):
            self._history = record.collection, record.epoch
            self._base.forget_superseded()
        trouble = self._lacks(record)
        if trouble is None:
            if not self._projector.writes:
                self._base.take_garbage(record.settled)
            trouble = await self._probe(record)
        if trouble is None:  # of one that can't be asked, nothing is compared again and again
            await self._base.serve(_served(record))
        elif trouble != self._base.trouble:
            _log.warning("Milvus cluster %s can't be asked: %s", self._base.name, trouble)
        self._base.trouble = trouble

    def _lacks(self, record: Projection) -> str | None:
        """Why the collection can't be asked along with the live index."""
        model, complete = self._base.shape.model_version, self._follower.complete
        if not record.collection:
            return f"the Milvus collection of model {model} is being built"
        if complete is None:
            return "the index is being built from the store"
        _, place = complete
        if record.epoch != place.epoch:
            return "the Milvus collection is of another history of the store; it is built anew"
        if record.settled > place.sequence:
            return (
                f"the index is at {place.sequence} and behind its Milvus collection, which is at "
                f"{record.settled}"
            )
        return None

    async def _probe(self, record: Projection) -> str | None:
        """Why it can't be searched; it is searched now and then, and always while it can't be."""
        (name, at), served = self._probed, record.collection
        if name == served and self._base.trouble is None and time.monotonic() < at + _PROBE_S:
            return None
        try:
            problem = await self._base.connection.call(served, lambda c: c.probe(record.number))
        except ServiceError as error:
            return error.detail
        if problem is not None:
            return f"Milvus collection {served}: {problem}; it is built anew"
        self._probed = served, time.monotonic()
        return None


def _served(record: Projection) -> Served:
    refused = frozenset(record.refused)
    return Served(record.collection, record.settled, refused, record.established)
