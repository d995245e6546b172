"""A collection gets everything, though the log keeps little of what is written meanwhile."""

import asyncio
from collections.abc import Sequence

import pytest

from service.engine.projection import filling
from service.engine.projection.pace import Pace
from service.engine.projection.record import Building, Projection
from service.index.base import Upsert
from tests.service.engine.projection.world import World, happens

KEPT = 40
"""Entries of the log: less than what is written while most are inserted."""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "_NEARLY", KEPT // 4)
    monkeypatch.setattr(filling, "_FEW_ROWS", 10)
    monkeypatch.setattr(filling, "_READ_AT_ONCE", 50)
    monkeypatch.setattr(filling, "_WAIT_S", 0.01)


def world_of(streamers: int) -> World:
    world = World(Pace(lease_s=0.5, margin_s=0.1), kept=KEPT)
    for i in range(streamers):
        world.write(f"s{i}")
    return world


def write_while_inserted(world: World, share: float) -> None:
    """Change so many streamers for each that is inserted, and delete some."""
    due = 0.0

    def write(rows: Sequence[Upsert]) -> None:
        nonlocal due
        due += share * len(rows)
        while due >= 1:
            due -= 1
            if world.alone.version % 7 == 0 and f"s{world.alone.version % 300}" in (
                world.alone.stored.newest
            ):
                world.remove(f"s{world.alone.version % 300}")
            else:
                world.write(f"s{(world.alone.version * 31) % 600}")

    world.milvus.inserting = write


async def has_everything(world: World) -> None:
    await happens(lambda: world.newest.keys() <= world.milvus.rows.keys())


def test_a_build_ends_while_more_is_written_than_the_log_keeps() -> None:
    async def build() -> None:
        world = world_of(500)
        write_while_inserted(world, share=0.5)
        world.projector.start()
        record = await world.until(lambda record: record.collection != "")
        assert len(world.store.log) > 500 + KEPT
        assert world.milvus.names == {record.collection}  # it was not begun again
        assert 0 < record.settled <= record.sequence
        world.milvus.inserting = lambda _: None
        await has_everything(world)
        assert world.milvus.rows.keys() >= {  # what had settled was there when it began to serve
            each for each in world.newest if each <= record.settled
        }
        await world.projector.stop()

    asyncio.run(build())


def test_what_was_replaced_meanwhile_is_deleted() -> None:
    async def build() -> None:
        world = world_of(200)
        write_while_inserted(world, share=0.5)
        world.projector.start()
        await world.until(lambda record: record.collection != "")
        world.milvus.inserting = lambda _: None
        await happens(lambda: world.newest.keys() == world.milvus.rows.keys())
        await world.projector.stop()

    asyncio.run(build())


def test_a_build_that_ended_is_gone_on_with() -> None:
    async def build() -> None:
        world = world_of(500)
        rows = [*world.newest.values()]
        left = Building("left", 7, "history", world.base.established)
        world.milvus.names = {"left"}
        world.milvus.insert(rows[:400], ())
        world.write("s0")  # since then
        world.remove("s1")
        inserted: list[int] = []
        world.milvus.inserting = lambda rows: inserted.extend(r.version for r in rows)
        await world.records.put(Projection(building=left), 0)
        world.projector.start()
        record = await world.until(lambda record: record.collection != "")
        assert record.collection == "left"
        assert record.building == Building()
        assert sorted(inserted) == [*range(401, 502)]
        await happens(lambda: world.newest.keys() == world.milvus.rows.keys())
        await world.projector.stop()

    asyncio.run(build())


@pytest.mark.parametrize("left", [Building("left", 8, "history"), Building("left", 7, "another")])
def test_a_build_of_something_else_is_begun_anew(left: Building) -> None:
    async def build() -> None:
        world = world_of(3)
        world.milvus.names = {"left"}
        await world.records.put(Projection(building=left), 0)
        world.projector.start()
        record = await world.until(lambda record: record.collection != "")
        assert world.milvus.names == {record.collection} != {"left"}
        await world.projector.stop()

    asyncio.run(build())


def test_a_cluster_that_was_down_for_longer_than_the_log_goes_back_catches_up() -> None:
    async def go_down() -> None:
        world = world_of(300)
        world.projector.start()
        before = await world.until(lambda record: record.settled >= 300)
        for i in range(5 * KEPT):
            world.write(f"s{i}")
        for i in range(280, 290):
            world.remove(f"s{i}")
        after = await world.until(lambda record: record.settled == len(world.store.log))
        assert after.collection == before.collection
        assert world.newest.keys() <= world.milvus.rows.keys()
        await happens(lambda: world.newest.keys() == world.milvus.rows.keys())
        await world.projector.stop()

    asyncio.run(go_down())


async def shows_what_is_stored(world: World) -> None:
    """Once all is there, and nothing in place of it that has its version."""
    await happens(lambda: world.newest.keys() == world.milvus.rows.keys())
    for version, row in world.newest.items():
        assert world.milvus.rows[version].streamer_id == row.streamer_id


def test_who_takes_over_keeps_what_another_process_caught_up_with() -> None:
    async def take_over() -> None:
        world = world_of(300)
        rows = [*world.newest.values()]
        world.milvus.names = {"c"}
        world.milvus.insert(rows[:280], ())
        inserted: list[int] = []
        world.milvus.inserting = lambda rows: inserted.extend(r.version for r in rows)
        left = Projection("", "c", 7, "history", 100, world.store.log[99].mark, 100)
        await world.records.put(left, 0)
        world.projector.start()
        record = await world.until(lambda record: record.settled == 300)
        assert record.collection == "c"
        assert sorted(inserted) == [*range(281, 301)]
        assert record.reached == (0, "")
        await world.projector.stop()

    asyncio.run(take_over())


@pytest.mark.slow
@pytest.mark.parametrize("written", [5, 20])  # less than was lost, and more
def test_a_collection_with_rows_of_a_lost_end_of_the_log_does_not_catch_up(written: int) -> None:
    async def lose() -> None:
        world = world_of(100)
        world.projector.start()
        before = await world.until(lambda record: record.settled == 100)
        await world.projector.stop()
        world.lose(after=90)
        for i in range(written):
            world.write(f"t{i}")
        world.projector.start()
        await world.until(lambda record: record.collection not in ("", before.collection))
        world.milvus.rows.clear()  # the other collection's, which are in the same place here
        await shows_what_is_stored(world)
        await world.projector.stop()

    asyncio.run(lose())


@pytest.mark.parametrize("serving", ["", "c"])
def test_rows_of_a_lost_end_of_the_log_are_not_gone_on_with(serving: str) -> None:
    async def lose() -> None:
        world = world_of(100)
        reached = 100, world.store.log[99].mark
        world.milvus.names = {"c", "left"}
        world.lose(after=90)
        left = Building() if serving else Building("left", 7, "history", "")
        mark = world.store.log[9].mark
        await world.records.put(
            Projection("", serving, 7, "history", 10, mark, 10, left, reached=reached), 0
        )
        for i in range(20):
            world.write(f"t{i}")
        world.projector.start()
        record = await world.until(lambda record: record.collection not in ("", serving))
        assert record.collection != "left"
        await world.projector.stop()

    asyncio.run(lose())


def test_a_store_that_goes_back_during_a_build_has_another_one_begun() -> None:
    async def lose() -> None:
        world = world_of(200)
        left = set[str]()

        def go_back(rows: Sequence[Upsert]) -> None:
            if not left and rows[0].version > 100:
                left.update(world.milvus.names)
                world.lose(after=100)
                for i in range(100):
                    world.write(f"t{i}")

        world.milvus.inserting = go_back
        world.projector.start()
        record = await world.until(lambda record: record.collection != "")
        assert left
        assert record.collection not in left
        assert {*record.retired} == left
        await world.projector.stop()

    asyncio.run(lose())


def test_rows_that_milvus_loses_are_inserted_again() -> None:
    async def build() -> None:
        world = world_of(30)
        world.milvus.loses = [f"s{i}" for i in range(5)]
        world.projector.start()
        await world.until(lambda record: record.collection != "")
        assert world.milvus.rows.keys() == world.newest.keys()
        await world.projector.stop()

    asyncio.run(build())


def test_a_collection_that_loses_fewer_rows_each_time_has_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(filling, "_COUNT_S", 0.0)

    async def build() -> None:
        world = world_of(30)
        world.milvus.loses = ["s1", "s2", "s2", "s3", "s3", "s3"]
        world.projector.start()
        await world.until(lambda record: record.collection != "")
        assert world.milvus.rows.keys() == world.newest.keys()
        assert len(world.milvus.names) == 1
        await world.projector.stop()

    asyncio.run(build())


def test_a_collection_that_loses_rows_for_ever_does_not_serve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(filling, "_COUNT_S", 0.0)

    async def build() -> None:
        world = world_of(30)
        world.milvus.loses = ["s1"] * 1000
        world.projector.start()
        record = await world.until(lambda record: record.building.name != "" and not record.owner)
        assert record.collection == ""
        assert record.building.number == 0  # and is not gone on with
        await world.projector.stop()

    asyncio.run(build())
