"""Who writes a collection, and what happens when Milvus fails, without a server."""

import asyncio

import pytest

from service.engine.projection.lease import Lease
from service.engine.projection.pace import pause_s
from service.engine.projection.record import Building, Projection
from service.engine.projection.watch import CollectionWatch
from service.store.documents import RevisionConflict
from tests.service.engine.projection.world import World, happens


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
        watch = CollectionWatch(world.records, world.base, world.follower, world.projector, 0.02)
        watch.start()
        await happens(lambda: "it is down" in (world.base.trouble or ""))
        await watch.stop()

    asyncio.run(watch())
