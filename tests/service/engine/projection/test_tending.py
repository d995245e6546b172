"""A collection that serves is kept in order; without a server."""

import asyncio

import pytest

from service.engine.projection import projector, tending
from service.engine.projection.pace import Pace
from service.engine.projection.record import Building, Projection, Projections
from service.index.milvus.base import digest_of
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
        await world.projector.stop()

    asyncio.run(mark())


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
