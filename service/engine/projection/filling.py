"""Fills a collection with all that is stored, while the log goes on and keeps only its latest.

The live index of this process knows the newest version of every streamer. Whatever of these the
collection lacks is read from the store and inserted, again and again: each time less was written
meanwhile than the time before, until the log surely has everything that came since. So it is of no
account how much of the collection was there before, or how long it takes.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from service.engine.projection.audit import compared
from service.engine.projection.history import lost_at
from service.engine.replica.follower import Follower
from service.index.base import Upsert
from service.index.milvus.base import MilvusBase
from service.index.milvus.connection import CollectionLost
from service.index.milvus.directory import Newest
from service.index.milvus.index import MilvusIndex
from service.store.base import Position, StreamerStore, WentBack

_log = logging.getLogger(__name__)
_READ_AT_ONCE = 1000
_NEARLY = 4000
"""So few rows are inserted long before the log has lost what comes meanwhile."""
_FEW_ROWS = 5000
"""With fewer rows a new collection serves at once: they are in the overlay until they settle."""
_COUNT_S = 120.0
_WAIT_S = 0.5

Versions = NDArray[np.int64]


class Insert(Protocol):
    """Inserts rows into a collection."""

    async def __call__(
        self, name: str, rows: Sequence[Upsert], *, are_new: bool = True
    ) -> list[int]:
        """Versions that Milvus refuses."""
        ...


class Filled(NamedTuple):
    """A collection that has everything.

    Attributes:
        place: in the log, up to which it has everything.
        settled: place up to which everyone sees it.
        refused: versions that Milvus did not take.
        garbage: versions in it that were replaced by ones up to `place`.
        rows: how many it should have.
    """

    place: Position
    settled: int
    refused: Sequence[int]
    garbage: Sequence[int]
    rows: int


class Filling:
    """One collection that is being filled, new or not."""

    def __init__(
        self,
        store: StreamerStore,
        base: MilvusBase,
        follower: Follower,
        insert: Insert,
        note: Callable[[Position], Awaitable[None]],
        margin_s: float,
    ) -> None:
        """Nothing is inserted before `fill`.

        Args:
            store: whose history must stay the same meanwhile.
            base: the connection, and vectors of streamers.
            follower: has the live index, which knows every streamer's newest version.
            insert: rows into a collection by its name, whether it has none of them yet; versions
                that Milvus refuses.
            note: called with a place in the log before rows up to there are inserted.
            margin_s: what was written so long ago is seen by everyone.
        """
        self._store = store
        self._base = base
        self._follower = follower
        self._insert = insert
        self._note = note
        self._reached: Position | None = None
        self._margin_s = margin_s
        self._refused: set[int] = set()

    async def fill(self, name: str, epoch: str, *, is_new: bool) -> Filled:
        """Insert what the collection lacks.

        Args:
            name: of the collection.
            epoch: of the store's history.
            is_new: whether it is empty; otherwise it is compared with what is stored first.

        Raises:
            WentBack: the store lost a part of its history, and rows may be of that.
            CollectionLost: rows that are inserted are not there.
            IndexUnavailable: Milvus does not answer.
            StoreUnavailable: likewise the store.
        """
        have = np.empty(0, np.int64)
        if not is_new:
            _, newest, place = await self._newest(epoch)
            have = (await self._compared(name, newest.versions, place))[0]
        have, place, inserted = await self._sweep(name, epoch, have)
        while inserted > _NEARLY:
            have, place, inserted = await self._sweep(name, epoch, have)
        if len(have):
            await self._base.connection.call(name, lambda c: c.flush())
        least, until = math.inf, math.inf
        while True:
            shown, garbage = await self._compared(name, have, place)
            lacking = len(have) - len(shown)
            if not lacking:
                break
            if lacking < least:
                least, until = lacking, time.monotonic() + _COUNT_S
            if time.monotonic() > until:
                raise CollectionLost(f"it lacks {lacking} rows, however often they are inserted")
            await asyncio.sleep(_WAIT_S)
            # They may be there, and not be shown yet.
            have, place, inserted = await self._sweep(name, epoch, shown, are_new=False)
        settled, seen_at = place.sequence, time.monotonic()
        if len(have) <= _FEW_ROWS and is_new:
            return Filled(place, 0, sorted(self._refused), garbage, len(have))
        # What is inserted from here on is newer than `settled`.
        while inserted > _NEARLY or time.monotonic() < seen_at + self._margin_s:
            await asyncio.sleep(_WAIT_S)
            have, place, inserted = await self._sweep(name, epoch, have)
        return Filled(place, settled, sorted(self._refused), garbage, len(have))

    async def _newest(self, epoch: str) -> tuple[MilvusIndex, Newest, Position]:
        """Newest versions up to a place in the log, as the live index has them."""
        while True:
            complete = self._follower.complete
            if complete is not None and complete[1].epoch == epoch:
                index, place = complete
                assert isinstance(index, MilvusIndex)
                return index, await asyncio.to_thread(index.newest, place.sequence), place
            if (await self._store.position()).epoch != epoch:
                raise WentBack("the store's history is another one by now")
            await asyncio.sleep(_WAIT_S)

    async def _compared(
        self, name: str, known: Versions, place: Position
    ) -> tuple[Versions, list[int]]:
        """Versions that need not be inserted, and those that are too many."""
        found = await compared(self._base.connection, name, known, place.sequence)
        shown = await asyncio.to_thread(_without, known, found.missing - self._refused)
        return shown, await asyncio.to_thread(sorted, found.garbage)

    async def _sweep(
        self, name: str, epoch: str, have: Versions, *, are_new: bool = True
    ) -> tuple[Versions, Position, int]:
        """Insert what is newest and not there; what is there now, up to where, and how many."""
        index, newest, place = await self._newest(epoch)
        await self._go_on_to(place)
        lacking = await asyncio.to_thread(newest.without, have)
        if len(lacking.versions) > _NEARLY:
            _log.info("%d rows are inserted into Milvus collection %s", len(lacking.versions), name)
        inserted: list[int] = []  # the others were replaced or deleted meanwhile
        for start in range(0, len(lacking.versions), _READ_AT_ONCE):
            ids = index.ids_at(lacking.part(start, start + _READ_AT_ONCE))
            entries = await self._base.source.entries([*ids.values()])
            rows = [
                entry
                for entry in entries
                # The log brings what is written meanwhile.
                if entry is not None and entry.embedding and entry.version <= place.sequence
            ]
            self._refused.update(await self._insert(name, rows, are_new=are_new))
            inserted += (row.version for row in rows)
        have = await asyncio.to_thread(_joined, newest.versions, have, inserted)
        return have, place, len(lacking.versions)

    async def _go_on_to(self, place: Position) -> None:
        """Let rows up to a place be inserted, if those of before are of the same history.

        Raises:
            WentBack: they are not.
        """
        why = self._reached and await lost_at(self._store, self._reached)
        if why:
            raise WentBack(why)
        await self._note(place)
        self._reached = place


def _without(known: Versions, missing: set[int]) -> Versions:
    return np.setdiff1d(known, np.array(sorted(missing), np.int64), assume_unique=True)


def _joined(newest: Versions, have: Versions, inserted: Sequence[int]) -> Versions:
    """What is there now: of what was there that which is newest still, and what was inserted."""
    still = np.intersect1d(newest, have, assume_unique=True)
    return np.sort(np.concatenate([still, np.array(inserted, np.int64)]))
