"""Who writes a collection, and what happens when Milvus fails, without a server."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from service.engine.projection import projector, tending
from service.engine.projection.audit import Audit, Compared
from service.engine.projection.lease import Lease
from service.engine.projection.pace import Pace, pause_s
from service.engine.projection.projector import Projector
from service.engine.projection.record import Building, OtherRecord, Projection, Projections
from service.engine.projection.watch import CollectionWatch
from service.engine.replica.snapshots import Model
from service.errors import IndexUnavailable, StoreUnavailable
from service.index.milvus.base import Bounds, MilvusBase
from service.index.milvus.collection import Shape
from service.store.documents import RevisionConflict
from tests.service.engine.projection.world import World, happens
from tests.service.index.milvus.without_server import DIM, Memory


async def has_more_than_is_told(world: World) -> None:
    """A collection with five rows, of which the record tells of three."""
    for i in range(5):
        world.write(f"s{i}")
    world.milvus.names = {"c"}
    world.milvus.insert([*world.newest.values()], ())
    told = Projection(collection="c", number=7, epoch="history", sequence=3, settled=3)
    await world.records.put(told, 0)


def test_who_can_not_reach_milvus_lets_others_write() -> None:
    async def fail() -> None:
        world = World()
        world.milvus.names, world.milvus.fails = {"left"}, True
        await world.records.put(Projection(building=Building("left")), 0)
        world.projector.start()
        await world.until(lambda record: record.beats == 1 and record.owner == "")
        assert world.milvus.names == {"left"}  # nothing is made while that fails
        assert await Lease(world.records, "other", 100).claim()
        await world.projector.stop()

    asyncio.run(fail())


def test_what_an_earlier_build_left_is_dropped_first() -> None:
    async def build() -> None:
        world = World()
        world.milvus.names = {"left"}
        await world.records.put(Projection(building=Building("left")), 0)
        world.projector.start()
        record = await world.until(lambda record: record.collection != "")
        assert world.milvus.names == {record.collection}
        await world.projector.stop()

    asyncio.run(build())


def test_a_collection_that_is_not_made_in_time_is_dropped() -> None:
    async def build() -> None:
        world = World()

        def time_out() -> None:
            raise IndexUnavailable("Milvus: deadline exceeded")

        world.milvus.created = time_out
        world.projector.start()
        record = await world.until(lambda record: record.building.name != "" and not record.owner)
        assert record.building.number == 0
        assert world.milvus.names == set()
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


class Late:
    """Stands for `Connection`: what it deletes, it deletes once it may."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.is_deleting, self.may_delete = False, asyncio.Event()

    async def call(self, name: str, ask: Callable[[Any], Any]) -> Any:
        late = list[int]()

        def asked(collection: Any) -> Any:
            collection.delete = late.extend
            return ask(collection)

        answer = await self._memory.call(name, asked)
        if late:
            self.is_deleting = True
            await self.may_delete.wait()
            await self._memory.call(name, lambda c: c.delete(late))
        return answer


class Away(Projections):
    """Records of a store that does not answer this process so many times."""

    failures = 0

    async def get(self) -> tuple[int, Projection]:
        self._fail()
        return await super().get()

    async def put(
        self, record: Projection, expected: int, instead_of: Sequence[OtherRecord] = ()
    ) -> int:
        self._fail()
        return await super().put(record, expected, instead_of)

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("it is down")


@pytest.mark.parametrize("failures", [0, 3])
def test_what_is_deleted_late_is_inserted_again(
    monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    monkeypatch.setattr(projector, "_TEND_S", 0.01)
    monkeypatch.setattr(projector, "_AGAIN_S", 0.01)
    repair, audits = Audit.repair, list[Compared]()

    async def watched(self: Audit, record: Projection) -> Compared:
        audits.append(await repair(self, record))
        return audits[-1]

    monkeypatch.setattr(tending.Audit, "repair", watched)

    async def stand_still() -> None:
        # The one that takes over audits once, and not again for an hour.
        world = World(Pace(lease_s=0.2, margin_s=0.1, audit_s=3600))
        await has_more_than_is_told(world)
        connection: Any = Late(world.milvus)
        base = MilvusBase(connection, Shape("m", DIM, 16, 4), Bounds(1000))
        store: Any = world.store
        follower: Any = world.follower
        records = Away(world.kept_documents, "c", "m")
        # It gives no sign of life for long, as if it stood still.
        late = Projector(
            *(store, records, base, follower, Model("m", DIM, 2, "")),
            *((), "late", Pace(lease_s=3600, margin_s=0.1, audit_s=3600)),
        )
        late.start()
        await happens(lambda: connection.is_deleting)
        world.projector.start()
        await world.until(lambda record: record.owner == "me" and record.settled == 5)
        await happens(lambda: audits == [Compared(set(), set())])
        assert world.milvus.rows.keys() == {1, 2, 3, 4, 5}
        records.failures = failures
        connection.may_delete.set()
        await happens(lambda: len(audits) == 2)
        assert not records.failures
        assert audits[1] == Compared({4, 5}, set())
        assert world.milvus.rows.keys() == {1, 2, 3, 4, 5}
        _, record = await world.records.get()
        assert (record.owner, record.sequence) == ("me", 5)
        await late.stop()
        await world.projector.stop()

    asyncio.run(stand_still())


@pytest.mark.slow
def test_what_a_deletion_that_timed_out_deletes_late_is_inserted_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(projector, "_TEND_S", 0.01)
    monkeypatch.setattr(projector, "_AGAIN_S", 0.01)

    async def delete() -> None:
        world = World(Pace(lease_s=0.2, margin_s=1.0, audit_s=3600))
        await has_more_than_is_told(world)
        late, again = list[int](), list[int]()

        def time_out(versions: Sequence[int]) -> None:
            if not late:
                late.extend(versions)
                raise IndexUnavailable("Milvus: deadline exceeded")

        world.milvus.deleting = time_out
        world.milvus.inserting = lambda rows: again.extend(row.version for row in rows)
        world.projector.start()
        await happens(lambda: again == [4, 5])
        for version in late:
            del world.milvus.rows[version]
        await happens(lambda: world.milvus.rows.keys() == {1, 2, 3, 4, 5})
        assert (late, again) == ([4, 5], [4, 5, 4, 5])
        await world.projector.stop()

    asyncio.run(delete())


def test_who_can_not_read_the_record_answers_no_more() -> None:
    async def watch() -> None:
        world = World()
        world.documents.fails, world.base.trouble = True, None
        watch = CollectionWatch(world.records, world.base, world.follower, world.projector, 0.02)
        watch.start()
        await happens(lambda: "it is down" in (world.base.trouble or ""))
        await watch.stop()

    asyncio.run(watch())
