"""A projector with a store and a cluster in memory."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from typing import Any

from service.engine.projection.pace import Pace
from service.engine.projection.projector import Projector
from service.engine.projection.record import Projection, Projections
from service.engine.replica.snapshots import Model
from service.errors import StoreUnavailable
from service.index.base import Remove, Upsert
from service.index.milvus.index import MilvusIndex
from service.store.base import IndexEntry, LogEntry, LogGap, Position, WentBack
from service.store.documents import Document, Put, RevisionConflict
from tests.service.index.asked import now
from tests.service.index.milvus.without_server import DIM, Alone


class Documents:
    """Documents, in memory."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], Document] = {}
        self.revision = 0
        self.fails = False

    async def get(self, collection: str, ids: Sequence[str]) -> list[Document | None]:
        if self.fails:
            raise StoreUnavailable("it is down")
        return [self.stored.get((collection, name)) for name in ids]

    async def page(self, collection: str, after: str | None, limit: int) -> list[Document]:
        return [each for (of, _), each in self.stored.items() if of == collection]

    async def change(self, puts: Sequence[Put]) -> list[int]:
        for put in puts:
            known = self.stored.get((put.collection, put.document_id))
            if put.expected != (known.revision if known else 0):
                raise RevisionConflict(put.document_id, known.revision if known else 0)
        for put in puts:
            self.revision += 1
            document = Document(put.document_id, self.revision, put.body or b"")
            self.stored[put.collection, put.document_id] = document
            if put.body is None:
                del self.stored[put.collection, put.document_id]
        return [self.revision for _ in puts]


class Store:
    """The log of a world, which keeps so many entries, and the models that are kept."""

    def __init__(self, kept: int) -> None:
        self.log: list[LogEntry] = []
        self.kept = kept
        self.models: tuple[str | None, str | None] = "m", None

    async def kept_models(self) -> tuple[str | None, str | None]:
        return self.models

    async def position(self) -> Position:
        return self.end

    @property
    def end(self) -> Position:
        return Position("history", len(self.log), self.log[-1].mark if self.log else "")

    async def check_continues(self, place: Position) -> None:
        after = place.sequence
        if after > len(self.log):
            raise WentBack(f"the log ends at {len(self.log)}")
        if after < len(self.log) - self.kept:
            raise LogGap(f"{after + 1} is no longer in the log")
        if after and place.mark and self.log[after - 1].mark != place.mark:
            raise WentBack(f"{after} was written anew")

    async def follow(
        self, after: int, epoch: str, mark: str = ""
    ) -> AsyncGenerator[list[LogEntry], None]:
        while True:
            await self.check_continues(Position(epoch, after, mark))
            if after < len(self.log):
                yield self.log[after:]
                after, mark = len(self.log), self.log[-1].mark
            await asyncio.sleep(0.001)


class World:
    """Streamers that are written, a cluster, and what projects the ones into the other."""

    def __init__(
        self, pace: Pace | None = None, kept: int = 20_000, established: Collection[str] = ()
    ) -> None:
        self.documents, self.store = Documents(), Store(kept)
        self.alone = Alone(established)
        self.milvus, self.base = self.alone.memory, self.alone.base
        parts: Any = self.documents, self.store, self
        documents, store, self.follower = parts
        self.kept_documents = documents
        self._life = 1
        self.records = Projections(documents, "c", "m")
        self.projector = Projector(
            *(store, self.records, self.base, self.follower, Model("m", DIM, 2, "")),
            *(frozenset(established), "me", pace or Pace(0.5, 0.2)),
        )

    @property
    def complete(self) -> tuple[MilvusIndex, Position]:
        """As of `Follower`."""
        return self.alone.index, self.store.end

    def write(self, name: str) -> None:
        row = self.alone.write(name)
        entry = IndexEntry(name, row.version, row.embedding, row.content, row.facets, "m")
        self.store.log.append(LogEntry(row.version, name, entry, self._mark))

    def remove(self, name: str) -> None:
        self.alone.version += 1
        del self.alone.stored.newest[name]
        now(self.alone.index.apply([Remove(name, self.alone.version)]))
        self.store.log.append(LogEntry(self.alone.version, name, None, self._mark))

    @property
    def _mark(self) -> str:
        return f"{self.alone.version} of life {self._life}"

    def lose(self, after: int) -> None:
        """Let the store, which streamers were only added to, go back; its index is a new one."""
        known = [*self.newest.values()][:after]
        self.alone.stored.newest = {each.streamer_id: each for each in known}
        self.alone.index = MilvusIndex([self.base])
        now(self.alone.index.apply(known))
        self.alone.version, self._life = after, self._life + 1
        del self.store.log[after:]

    @property
    def newest(self) -> dict[int, Upsert]:
        return {each.version: each for each in self.alone.stored.newest.values()}

    async def until(self, holds: Callable[[Projection], bool]) -> Projection:
        """The record once something holds of it."""
        async with asyncio.timeout(60):
            while True:
                _, record = await self.records.get()
                if holds(record):
                    return record
                await asyncio.sleep(0.01)


async def happens(holds: Callable[[], bool]) -> None:
    """Return once something holds."""
    async with asyncio.timeout(60):
        while True:
            if holds():
                return
            await asyncio.sleep(0.01)
