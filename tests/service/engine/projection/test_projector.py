"""Who writes a collection, and what happens when Milvus fails, without a server."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import pytest

from service.engine.projection.lease import Lease
from service.engine.projection.projector import Pace, Projector, pause_s
from service.engine.projection.record import Projection, Projections
from service.engine.projection.watch import CollectionWatch
from service.engine.replica.snapshots import Model
from service.errors import IndexUnavailable, StoreUnavailable
from service.index.milvus.base import Bounds, MilvusBase
from service.index.milvus.collection import Shape
from service.store.base import Position
from service.store.documents import Document, Put, RevisionConflict


class Documents:
    """One document, in memory."""

    def __init__(self) -> None:
        self.stored: Document | None = None
        self.fails = False

    async def get(self, collection: str, ids: Sequence[str]) -> list[Document | None]:
        if self.fails:
            raise StoreUnavailable("it is down")
        return [self.stored]

    async def change(self, puts: Sequence[Put]) -> list[int]:
        (put,) = puts
        revision = 0 if self.stored is None else self.stored.revision
        if put.expected != revision:
            raise RevisionConflict(put.document_id, revision)
        assert put.body is not None
        self.stored = Document(put.document_id, revision + 1, put.body)
        return [revision + 1]


class Store:
    """A store that holds nobody."""

    async def kept_models(self) -> tuple[str | None, str | None]:
        return None, None

    async def position(self) -> Position:
        return Position("history", 0)

    async def scan(self) -> AsyncGenerator[list[Any], None]:
        for entries in list[list[Any]]():
            yield entries

    async def follow(self, *place: Any) -> AsyncGenerator[list[Any], None]:
        await asyncio.Event().wait()
        yield []


class Milvus:
    """Keeps the names that are there; fails at will."""

    def __init__(self) -> None:
        self.names = {"left"}
        self.fails = True

    async def call(self, name: str, ask: Callable[[Any], Any]) -> Any:
        return ask(_Named(self, name))


class _Named:
    def __init__(self, milvus: Milvus, name: str) -> None:
        self._milvus, self._name = milvus, name


@pytest.fixture(autouse=True)
def collection(monkeypatch: pytest.MonkeyPatch) -> None:
    def drop(self: Any) -> None:
        if self._milvus.fails:
            raise IndexUnavailable("Milvus does not answer")
        self._milvus.names.discard(self._name)

    def create(self: Any) -> int:
        self._milvus.names.add(self._name)
        return 7

    for name, method in {
        "drop": drop,
        "create": create,
        "count": lambda _: 0,
        "versions": lambda *_: [],
        "problem": lambda *_: None,
    }.items():
        monkeypatch.setattr(_Named, name, method, raising=False)
        monkeypatch.setattr(f"service.engine.projection.projector.Collection.{name}", method)


class World:
    def __init__(self) -> None:
        self.documents, self.milvus, self.store = Documents(), Milvus(), Store()
        parts: Any = self.documents, self.milvus, self.store
        documents, connection, store = parts
        self.records = Projections(documents, "m")
        self.base = MilvusBase(connection, Shape("m", 4, 16, 4), Bounds(100))
        self.follower: Any = None
        self.projector = Projector(
            *(store, self.records, self.base, self.follower),
            *(Model("m", 4, 2, ""), frozenset[str](), "me", Pace(0.5, 1.0)),
        )

    async def until(self, holds: Callable[[Projection], bool]) -> Projection:
        async with asyncio.timeout(60):
            while True:
                _, record = await self.records.get()
                if holds(record):
                    return record
                await asyncio.sleep(0.01)


async def happens(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while True:
            if holds():
                return
            await asyncio.sleep(0.01)


def test_who_can_not_reach_milvus_lets_others_write() -> None:
    async def fail() -> None:
        world = World()
        await world.records.put(Projection(building="left"), 0)
        world.projector.start()
        await world.until(lambda record: record.beats == 1 and record.owner == "")
        assert world.milvus.names == {"left"}  # nothing is made while that fails
        assert await Lease(world.records, "other", 100).claim()
        await world.projector.stop()

    asyncio.run(fail())


def test_what_an_earlier_build_left_is_dropped_first() -> None:
    async def build() -> None:
        world = World()
        world.milvus.fails = False
        await world.records.put(Projection(building="left"), 0)
        world.projector.start()
        record = await world.until(lambda record: record.collection != "")
        assert world.milvus.names == {record.collection}
        await world.projector.stop()

    asyncio.run(build())


def test_pauses_grow_with_builds_that_fail() -> None:
    pauses = [pause_s(10, builds) for builds in range(7)]
    assert pauses == [15, 20, 40, 80, 160, 300, 300]
    assert pause_s(600, 3) > 600  # others must have the time to take the lease


def test_a_lease_is_confirmed_before_a_deletion() -> None:
    async def confirm() -> None:
        records = World().records
        mine, others = Lease(records, "me", 0), Lease(records, "other", 0)
        assert await mine.claim()
        await mine.confirm()
        assert await others.claim()
        await others.confirm()
        with pytest.raises(RevisionConflict):
            await mine.confirm()

    asyncio.run(confirm())


def test_who_can_not_read_the_record_answers_no_more() -> None:
    async def watch() -> None:
        world = World()
        world.documents.fails, world.base.trouble = True, None
        watch = CollectionWatch(world.records, world.base, world.follower, lambda: False, 0.02)
        watch.start()
        await happens(lambda: "it is down" in (world.base.trouble or ""))
        await watch.stop()

    asyncio.run(watch())
