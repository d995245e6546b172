"""An index that begins with a snapshot is the store's, or it does not begin with it."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.engine.replica.follower import Follower
from service.engine.replica.maintenance import IndexMaintenance
from service.engine.replica.snapshots import Model, Schedule, Snapshots
from service.index.faiss.index import FaissIndex
from service.store.base import Delete
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.store import RedisStore
from tests.service.engine.replica.test_follower import DIM, LIMITS, until, upsert
from tests.service.index.asked import rows_of

MODEL = Model("m", DIM, DIM, "fingerprint")
SOON = Schedule(every_s=0.001, changes=5, from_rows=10, reserve_bytes=0)


@dataclass
class Parts:
    """A store, and what starts on it again and again."""

    folder: Path
    embedded: EmbeddedStore
    store: RedisStore
    admin: Redis

    def snapshots(self, model: Model = MODEL, schedule: Schedule = SOON) -> Snapshots:
        return Snapshots(self.folder / "index", model, schedule)

    @asynccontextmanager
    async def following(self, snapshots: Snapshots) -> AsyncGenerator[Follower]:
        """A follower that is ready, and whose index is what is stored."""
        follower = Follower(self.store, lambda: FaissIndex(DIM, DIM), MODEL, snapshots)
        follower.start()
        try:
            await until(lambda: follower.is_ready)
            await follower.wait_for((await self.store.position()).sequence, 20_000)
            await self.check(follower)
            yield follower
        finally:
            await follower.stop()

    async def check(self, follower: Follower) -> None:
        stored = [entry async for entries in self.store.scan() for entry in entries]
        assert follower.index.count == len(stored)
        rows = rows_of(follower.index, [entry.streamer_id for entry in stored])
        for entry, row in zip(stored, rows, strict=True):
            assert row is not None
            assert row.embedding is not None
            assert (row.version, row.embedding.tobytes()) == (entry.version, entry.embedding)

    async def saved(self) -> Snapshots:
        """With a hundred streamers and a snapshot of them."""
        await self.store.write([upsert(f"s{i}", i) for i in range(100)])
        await self.store.write([Delete(f"s{i}") for i in range(0, 20, 2)])
        snapshots = self.snapshots()
        async with self.following(snapshots) as follower:
            assert follower.source == "store"
            assert follower.complete is not None
            assert await asyncio.to_thread(snapshots.write, *follower.complete)
        assert snapshots.state.sequence == 110
        return snapshots

    def names(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "index").iterdir())


def scenario(folder: Path, run: Callable[[Parts], Awaitable[None]]) -> None:
    async def all_of_it() -> None:
        async with EmbeddedStore(folder / "store") as embedded:
            store = await RedisStore(embedded.url, limits=LIMITS, trouble=embedded.trouble).open()
            admin: Redis = Redis.from_url(embedded.url)
            try:
                await run(Parts(folder, embedded, store, admin))
            finally:
                await admin.aclose()
                await store.close()

    asyncio.run(all_of_it())


def test_it_begins_with_the_snapshot_and_goes_on_with_the_log(tmp_path: Path) -> None:
    async def run(parts: Parts) -> None:
        await parts.saved()
        async with parts.following(parts.snapshots()) as follower:  # nothing happened since
            assert (follower.source, follower.sequence) == ("snapshot", 110)
        changes = [upsert(f"s{i}", 500 + i) for i in range(30, 40)]
        await parts.store.write([*changes, Delete("s50"), Delete("s30"), upsert("new")])
        snapshots = parts.snapshots()
        async with parts.following(snapshots) as follower:
            assert (follower.source, follower.sequence) == ("snapshot", 123)
            assert rows_of(follower.index, ["s50", "s30"]) == [None, None]
            assert snapshots.state.sequence == 110
            await parts.store.write([upsert("newer"), Delete("new")])
            await follower.wait_for(125, 60_000)
            await parts.check(follower)

    scenario(tmp_path, run)


def damage(parts: Parts) -> None:
    (path,) = (parts.folder / "index").glob("0*/embeddings")
    content = bytearray(path.read_bytes())
    content[100] ^= 4
    path.write_bytes(content)


def cut(parts: Parts) -> None:
    (path,) = (parts.folder / "index").glob("0*/cold")
    path.write_bytes(path.read_bytes()[:-1])


def lose_the_manifest(parts: Parts) -> None:
    (path,) = (parts.folder / "index").glob("0*/manifest")
    path.unlink()


async def set_back(parts: Parts) -> None:
    """As when the folder of the store was copied back by hand."""
    await parts.admin.hset("ss:meta", "sequence", "90")
    await parts.admin.delete("ss:log")


async def restore_another_history(parts: Parts) -> None:
    await parts.admin.flushall()
    await parts.store.write([upsert(f"t{i}", i) for i in range(200)])


async def lose_the_log(parts: Parts) -> None:
    await parts.store.write([upsert(f"t{i}", i) for i in range(40)])
    await parts.admin.xtrim("ss:log", maxlen=5, approximate=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("harm", "model", "said"),
    [
        (damage, MODEL, "embeddings was changed: its SHA-256 is not the manifest's"),
        (cut, MODEL, "cold has "),
        (lose_the_manifest, MODEL, "manifest can't be read"),
        (set_back, MODEL, "the store ends at 90, the snapshot at 110: the store was set back"),
        (restore_another_history, MODEL, "the store's history is another one"),
        (lose_the_log, MODEL, "the log does not go on where it ends"),
        (None, replace(MODEL, version="m2"), "for version m, this is m2"),
        (None, replace(MODEL, dim=8), "for dim 4, this is 8"),
        (None, replace(MODEL, content_dim=8), "for content_dim 4, this is 8"),
        (None, replace(MODEL, fingerprint="f2"), "for fingerprint fingerprint, this is f2"),
    ],
)
def test_one_that_can_not_be_used(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    harm: Callable[[Parts], Awaitable[None] | None] | None,
    model: Model,
    said: str,
) -> None:
    async def run(parts: Parts) -> None:
        await parts.saved()
        if harm is not None and (done := harm(parts)) is not None:
            await done
        snapshots = parts.snapshots(model)
        async with parts.following(snapshots) as follower:
            assert follower.source == "store"
            assert said in caplog.text
            assert snapshots.state.sequence is None
            assert parts.names() == ["lock"]  # or it might seem right once the log has grown
            assert follower.complete is not None
            assert snapshots.is_due(*follower.complete, rebuilt=False)
            assert snapshots.write(*follower.complete)
        async with parts.following(parts.snapshots(model)) as follower:
            assert follower.source == "snapshot"

    with caplog.at_level(logging.WARNING):
        scenario(tmp_path, run)


def test_an_older_one_is_used_when_the_newest_is_damaged(tmp_path: Path) -> None:
    """Only a process that was killed between the two leaves more than one."""

    async def run(parts: Parts) -> None:
        await parts.saved()
        broken = parts.folder / "index" / "000000000002"
        broken.mkdir()
        (broken / "manifest").write_bytes(b"torn")
        async with parts.following(parts.snapshots()) as follower:
            assert follower.source == "snapshot"
        assert parts.names() == ["000000000001", "lock"]

    scenario(tmp_path, run)


def test_switched_off_none_is_used_and_none_stays(tmp_path: Path) -> None:
    async def run(parts: Parts) -> None:
        await parts.saved()
        off = parts.snapshots(schedule=replace(SOON, every_s=0))
        async with parts.following(off) as follower:
            assert follower.source == "store"
            assert follower.complete is not None
            assert not off.is_due(*follower.complete, rebuilt=True)
        assert parts.names() == ["lock"]

    scenario(tmp_path, run)


def test_a_running_index_that_lost_its_place_is_built_from_the_store(tmp_path: Path) -> None:
    async def run(parts: Parts) -> None:
        await parts.saved()
        snapshots = parts.snapshots()
        async with parts.following(snapshots) as follower:
            assert follower.source == "snapshot"
            await restore_another_history(parts)
            await until(lambda: follower.source == "store" and follower.index.count == 200)
            await follower.wait_for(200, 60_000)
            await parts.check(follower)
            assert follower.complete is not None
            assert snapshots.is_due(*follower.complete, rebuilt=False)  # of another history
            assert snapshots.write(*follower.complete)
        assert parts.names() == ["000000000002", "lock"]
        async with parts.following(parts.snapshots()) as follower:
            assert follower.source == "snapshot"

    scenario(tmp_path, run)


# Writing


def test_maintenance_saves_now_and_then_and_when_it_stops(tmp_path: Path) -> None:
    async def run(parts: Parts) -> None:
        await parts.store.write([upsert(f"s{i}", i) for i in range(100)])
        often = parts.snapshots()
        async with parts.following(often) as follower:
            maintenance = IndexMaintenance(follower, often)
            maintenance.start()
            await until(lambda: often.state.sequence == 100)
            await parts.store.write([upsert(f"s{i}", 200 + i) for i in range(50)])
            await until(lambda: often.state.sequence == 150)
            await maintenance.stop()
        seldom = parts.snapshots(schedule=replace(SOON, every_s=1000))
        async with parts.following(seldom) as follower:
            assert follower.source == "snapshot"
            maintenance = IndexMaintenance(follower, seldom)
            maintenance.start()
            await parts.store.write([upsert(f"s{i}", 300 + i) for i in range(4)])
            await follower.wait_for(154, 60_000)
            await maintenance.stop()
            assert seldom.state.sequence == 150  # so few are read from the log
        async with parts.following(seldom) as follower:
            await parts.store.write([upsert(f"s{i}", 400 + i) for i in range(20)])
            await follower.wait_for(174, 60_000)
            maintenance = IndexMaintenance(follower, seldom)
            maintenance.start()
            await maintenance.stop()
            assert seldom.state.sequence == 174
        async with parts.following(parts.snapshots()) as follower:
            assert (follower.source, follower.sequence) == ("snapshot", 174)

    scenario(tmp_path, run)
