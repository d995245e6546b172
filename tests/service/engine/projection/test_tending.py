"""A collection that serves is kept in order; without a server."""

import asyncio
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from service.engine.projection import projector, tending
from service.engine.projection.audit import Audit, Compared
from service.engine.projection.pace import Pace
from service.engine.projection.record import Building, Projection, Projections
from service.index.milvus.base import digest_of
from service.index.milvus.index import MilvusIndex
from service.store.base import Position
from tests.service.engine.projection.world import World, happens

PACE = Pace(lease_s=0.5, margin_s=0.1, audit_s=0.1)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projector, "_TEND_S", 0.01)
    monkeypatch.setattr(tending, "RETIRE_S", 0.1)


def test_rows_tell_who_is_established_by_another_list() -> None:
    async def mark() -> None:
        world = World(PACE, established={"s1", "s3"})
        for i in range(6):
            world.write(f"s{i}")
        rows = world.newest
        world.milvus.names = {"c"}
        world.milvus.insert([*rows.values()], {"s1", "s2"})
        before = Projection(
            collection="c", number=7, epoch="history", sequence=6, settled=6, established="other"
        )
        await world.records.put(before, 0)
        world.projector.start()
        await world.until(lambda record: record.established == "" and record.owner == "me")
        record = await world.until(lambda record: record.established != "")
        assert record.established == digest_of({"s1", "s3"}) == world.base.established
        # s2 is told in vain, and answers leave it out.
        assert world.milvus.established == {2, 3, 4}
        assert record.collection == "c"
        assert not world.milvus.copies
        await world.projector.stop()

    asyncio.run(mark())


def serving(world: World, count: int) -> Projection:
    """The record of a collection that has so many streamers, which are written."""
    for i in range(count):
        world.write(f"s{i}")
    world.milvus.names = {"c"}
    world.milvus.insert([*world.newest.values()], ())
    return Projection(collection="c", number=7, epoch="history", sequence=count, settled=count)


def test_what_a_write_replaced_that_the_store_lost_is_not_deleted() -> None:
    async def lose() -> None:
        world = World(Pace(lease_s=0.5, margin_s=0.1, audit_s=3600))
        await world.records.put(serving(world, 2), 0)
        inserted = list[int]()
        world.milvus.inserting = lambda rows: inserted.extend(row.version for row in rows)
        world.projector.start()
        await happens(lambda: world.projector.writes)
        lost = world.newest[1]._replace(version=3)
        await world.alone.index.apply([lost])  # another process writes it, nobody inserts it
        world.lose(after=2)
        for name in ("s2", "s3", "s1"):
            world.write(name)
        await happens(lambda: 2 not in world.milvus.rows)  # what s1 was
        assert world.milvus.rows.keys() == world.newest.keys() == {1, 3, 4, 5}
        assert inserted == [3, 4, 5]
        await world.projector.stop()

    asyncio.run(lose())


class Standing(NamedTuple):
    """Stands for `Follower`."""

    complete: tuple[MilvusIndex, Position] | None


def test_nothing_is_deleted_while_it_is_not_known_what_is_live() -> None:
    async def take() -> None:
        world, parts = World(), list[Any]()
        for name in ("s0", "s1", "s0"):
            world.write(name)
        record = Projection(collection="c", epoch="history", sequence=3, settled=3)
        index, end = world.complete

        async def garbage(complete: tuple[MilvusIndex, Position] | None) -> list[int]:
            parts[:] = world.store, world.base, Standing(complete), ()
            return await Audit(*parts).garbage(record)

        assert await garbage(None) == []
        assert await garbage((index, replace(end, epoch="another"))) == []
        assert await garbage((index, replace(end, sequence=2))) == []
        assert await garbage((index, end)) == [1]
        world.base.note_superseded(1, by=3)
        assert await garbage((index, replace(end, mark="of a lost end"))) == []

    asyncio.run(take())


def test_rows_that_an_audit_can_not_insert_are_told() -> None:
    async def refuse() -> None:
        world = World(PACE)
        await world.records.put(serving(world, 5), 0)
        del world.milvus.rows[3]
        world.milvus.refuses = {"s2"}
        world.projector.start()
        await world.until(lambda record: record.refused == (3,))
        await world.projector.stop()

    asyncio.run(refuse())


def test_short_answers_bring_one_audit_until_its_rows_are_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repair, once, done = Audit.repair, tending.Tending.once, list[str]()

    async def repaired(self: Audit, record: Projection) -> Compared:
        done.append("audit")
        return await repair(self, record)

    async def tended(self: tending.Tending) -> None:
        done.append("all")
        await once(self)

    monkeypatch.setattr(Audit, "repair", repaired)
    monkeypatch.setattr(tending.Tending, "once", tended)

    async def answer() -> None:
        world = World(Pace(lease_s=0.5, margin_s=3600))
        await world.records.put(serving(world, 5), 0)
        world.base.is_audit_due = True
        world.projector.start()
        await happens(lambda: "audit" in done)
        world.base.is_audit_due = True
        before = len(done)
        await happens(lambda: len(done) > before + 3)
        assert done.count("audit") == 1
        assert world.base.is_audit_due  # once they are
        await world.projector.stop()

    asyncio.run(answer())


def test_builds_that_fail_for_ever_leave_few_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projector, "_MOST_RETIRED", 2)

    async def drop() -> None:
        world = World(PACE)
        before = Projection(building=Building("left"), retired=("one", "two"))
        await world.records.put(before, 0)
        world.projector.start()
        record = await world.until(lambda record: record.collection != "")
        assert record.retired == before.retired
        await world.projector.stop()

    asyncio.run(drop())


def test_a_build_that_is_dropped_is_dropped_once_more() -> None:
    async def drop() -> None:
        world = World(PACE)
        world.milvus.names = {"left"}
        await world.records.put(Projection(building=Building("left")), 0)
        world.projector.start()
        record = await world.until(lambda record: record.collection != "")
        assert record.retired == ("left",)
        world.milvus.names.add("left")  # by the process that began it, only now
        await world.until(lambda record: record.retired == ())
        assert world.milvus.names == {record.collection}
        await world.projector.stop()

    asyncio.run(drop())


def test_a_collection_that_can_not_be_dropped_keeps_nothing_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def retire() -> None:
        world = World(PACE)
        world.milvus.names, world.milvus.keeps = {"c", "stuck", "old"}, {"stuck"}
        await world.records.put(
            Projection(collection="c", number=7, epoch="history", retired=("stuck", "old")), 0
        )
        world.projector.start()
        await world.until(lambda record: record.retired == ("stuck",))
        tried = world.milvus.tried_to_drop
        await happens(lambda: world.milvus.tried_to_drop > tried + 1)
        assert world.projector.writes
        world.write("s0")
        await happens(lambda: 1 in world.milvus.rows)
        assert caplog.text.count("collection stuck can't be dropped") == 1
        world.milvus.keeps = set()
        record = await world.until(lambda record: record.retired == ())
        assert world.milvus.names == {record.collection} == {"c"}
        await world.projector.stop()

    asyncio.run(retire())


def test_collections_of_models_that_are_kept_no_more_are_dropped() -> None:
    async def retire() -> None:
        world = World(PACE)
        world.store.models = "m", "rolled back to"
        others = {
            name: Projections(world.kept_documents, "c", name)
            for name in ("retired", "rolled back to")
        }
        elsewhere = Projections(world.kept_documents, "another cluster", "retired")
        for name, records in others.items():
            names = f"{name} 1", f"{name} 2", f"{name} 3"
            world.milvus.names |= {*names}
            record = Projection(
                collection=names[0], building=Building(names[1]), retired=(names[2],)
            )
            await records.put(record, 0)
        await elsewhere.put(Projection(collection="elsewhere"), 0)
        world.projector.start()
        mine = await world.until(lambda record: record.collection != "")
        kept = {f"rolled back to {i}" for i in (1, 2, 3)}
        await happens(lambda: world.milvus.names == {mine.collection, *kept})
        await world.until(lambda record: record.retired == ())
        assert (await others["retired"].get())[0] == 0
        assert (await others["rolled back to"].get())[0] > 0
        assert (await elsewhere.get())[1].collection == "elsewhere"
        await world.projector.stop()

    asyncio.run(retire())
