"""Compares a collection with the index: what is missing is inserted, what is too much deleted."""

import asyncio
import logging
from collections.abc import Collection as Sized
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.engine.projection.history import lost_at
from service.engine.projection.inserting import inserted
from service.engine.projection.record import Projection
from service.engine.replica.follower import Follower
from service.index.base import Upsert
from service.index.milvus.base import MilvusBase
from service.index.milvus.collection import MOST_HITS
from service.index.milvus.connection import Connection
from service.index.milvus.directory import Newest
from service.index.milvus.index import MilvusIndex
from service.index.milvus.tokens import IS_ESTABLISHED
from service.store.base import StreamerStore

_log = logging.getLogger(__name__)
_AT_ONCE = 4096
_READ_AT_ONCE = 500


class Compared(NamedTuple):
    """How a collection differs from what it should show: versions.

    Attributes:
        missing: from it.
        garbage: that it has.
        refused: by Milvus, of those that were missing.
    """

    missing: set[int]
    garbage: set[int]
    refused: Sequence[int] = ()


class Audit:
    """Repairs the collection of a record; what one part does is told at it."""

    def __init__(
        self,
        store: StreamerStore,
        base: MilvusBase,
        follower: Follower,
        established: Sized[str],
    ) -> None:
        """Nothing is compared yet.

        Args:
            store: whose log the collection follows.
            base: the connection, and vectors of streamers.
            follower: has the live index, which knows every streamer's newest version.
            established: ids of established streamers.
        """
        self._store = store
        self._base = base
        self._follower = follower
        self._established = established

    async def repair(self, record: Projection) -> Compared:
        """Insert what should be shown by now and is not; garbage is deleted once that may be.

        Raises:
            IndexUnavailable, StoreUnavailable: it can't be compared.
        """
        settled = self._settled(record)
        if settled is None:
            return Compared(set(), set())
        index, until = settled
        newest = await asyncio.to_thread(index.newest, until)
        name, connection = record.collection, self._base.connection
        missing, garbage, _ = await compared(connection, name, newest.versions, until)
        now = await asyncio.to_thread(index.ids_of, missing | garbage)
        missing &= now.keys() - set(record.refused)
        garbage -= now.keys()
        # Other processes may not know yet what replaced these.
        by = (await self._store.position()).sequence
        for version in garbage:
            self._base.note_superseded(version, by)
        if missing:
            _log.error("%d rows were missing in Milvus collection %s", len(missing), name)
            refused = await self._insert(name, missing, now)
            return Compared(missing, garbage, tuple(refused))
        return Compared(missing, garbage)

    async def garbage(self, record: Projection) -> list[int]:
        """Versions to delete, each told once: what replaced them is settled.

        A store that lost the end of its log may have taken that back, so none is told that is live
        in its present history, and none while that is not known: `repair` finds the others.

        Raises:
            StoreUnavailable: it is not known.
        """
        complete = self._follower.complete
        if complete is None or complete[1].epoch != record.epoch:
            return []
        index, place = complete
        assert isinstance(index, MilvusIndex)
        if place.sequence < record.settled:
            return []
        versions = self._base.take_garbage(record.settled)
        if not versions or await lost_at(self._store, place):
            return []
        live = await asyncio.to_thread(index.ids_of, versions)
        return [version for version in versions if version not in live]

    async def mark_established(self, record: Projection) -> list[int] | None:
        """Replace rows of established streamers that do not tell it; which Milvus refuses.

        Nobody is missing meanwhile. Rows that tell it of others are left: whoever asks checks hits.
        None: the index is not there.

        Raises:
            IndexUnavailable, StoreUnavailable: it can't be compared.
        """
        settled = self._settled(record)
        if settled is None:
            return None
        index, until = settled
        newest: Newest = await asyncio.to_thread(index.newest, until, established_only=True)
        name, connection = record.collection, self._base.connection
        known = newest.versions
        missing, *_ = await compared(connection, name, known, until, IS_ESTABLISHED)
        missing -= set(record.refused)
        now = await asyncio.to_thread(index.ids_of, missing)
        return await self._insert(name, missing & now.keys(), now)

    def _settled(self, record: Projection) -> tuple[MilvusIndex, int] | None:
        """The live index, and up to where it and the collection have everything."""
        complete = self._follower.complete
        if complete is None or complete[1].epoch != record.epoch:
            return None
        index, place = complete
        assert isinstance(index, MilvusIndex)
        return index, min(record.settled, place.sequence)

    async def _insert(self, name: str, versions: set[int], ids: dict[int, str]) -> list[int]:
        lacking, refused = [ids[version] for version in sorted(versions)], list[int]()
        for start in range(0, len(lacking), _READ_AT_ONCE):
            rows = await self._base.source.entries(lacking[start : start + _READ_AT_ONCE])
            again: list[Upsert] = [r for r in rows if r is not None and r.version in versions]
            refused += await inserted(
                self._base.connection, name, again, self._established, are_new=False
            )
        return refused


async def compared(
    connection: Connection,
    name: str,
    known: NDArray[np.int64] | Sequence[int],
    until: int,
    expression: str = "",
) -> Compared:
    """How a collection differs from what is known.

    Args:
        connection: to the cluster.
        name: of the collection.
        known: versions up to `until` that it should show, ascending.
        until: versions above are not looked at.
        expression: rows that it does not let through are not looked at.

    Raises:
        IndexUnavailable: it can't be compared.
    """
    versions = np.asarray(known, np.int64)
    missing, garbage, above = set[int](), set[int](), 0
    while above < until:
        ahead = versions[:_AT_ONCE]
        up_to = int(ahead[-1]) if len(ahead) == _AT_ONCE else until
        shown = await _listed(connection, name, above, up_to, expression)
        while len(shown) == MOST_HITS:  # there may be more
            up_to = (above + up_to) // 2
            shown = await _listed(connection, name, above, up_to, expression)
        found = set(shown)
        expected = set[int](versions[: np.searchsorted(versions, up_to, "right")].tolist())
        missing |= expected - found
        garbage |= found - expected
        versions, above = versions[len(expected) :], up_to
    return Compared(missing, garbage)


async def _listed(
    connection: Connection, name: str, above: int, up_to: int, expression: str
) -> list[int]:
    return await connection.call(name, lambda c: c.versions(above, up_to, expression))
