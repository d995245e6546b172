"""Streamers of the store as an index takes them in."""

from collections.abc import AsyncGenerator, Sequence

from service.engine.replica.record_check import RecordCheck
from service.engine.replica.snapshots import Model
from service.index.base import Upsert
from service.store.base import IndexEntry, StreamerStore


class StoredVectors:
    """Implements `VectorSource` with the store; records that no index can hold are left out."""

    def __init__(self, store: StreamerStore, model: Model) -> None:
        """Read vectors of `model`."""
        self._store = store
        self._model = model

    async def entries(self, ids: Sequence[str]) -> list[Upsert | None]:
        """The newest versions of streamers; see `VectorSource.entries`."""
        check = RecordCheck(self._model)
        found = await self._store.entries(ids)
        return [upsert_of(e) if e is not None and check.accepts(e) else None for e in found]

    async def scan(self) -> AsyncGenerator[Sequence[Upsert], None]:
        """All streamers."""
        check = RecordCheck(self._model)
        async for entries in self._store.scan():
            yield [upsert_of(entry) for entry in entries if check.accepts(entry)]


def upsert_of(entry: IndexEntry) -> Upsert:
    """What an index takes in of a record."""
    return Upsert(entry.streamer_id, entry.version, entry.embedding, entry.content, entry.facets)
