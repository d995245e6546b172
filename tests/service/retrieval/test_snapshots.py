"""An index that begins with a snapshot is the store's, or it does not begin with it."""

import asyncio
import fcntl
import logging
import os
import resource
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from redis.asyncio import Redis

from service.index.flat import FlatIndex
from service.retrieval.follower import Follower
from service.retrieval.snapshots import Model, Schedule, Snapshots
from service.retrieval.upkeep import Upkeep
from service.sealed import UNFINISHED
from service.store.base import Delete, Position
from service.store.redis_store import RedisStore
from service.store.supervisor import EmbeddedStore
from tests.service.retrieval.test_follower import DIM, LIMITS, until, upsert

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
        follower = Follower(self.store, lambda: FlatIndex(DIM, DIM), snapshots)
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
        assert len(follower.index) == len(stored)
        rows = follower.index.get([entry.streamer_id for entry in stored])
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
            assert follower.index.get(["s50", "s30"]) == [None, None]
            assert snapshots.state.sequence == 110
            await parts.store.write([upsert("newer"), Delete("new")])
            await follower.wait_for(125, 5000)
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
            await until(lambda: follower.source == "store" and len(follower.index) == 200)
            await follower.wait_for(200, 5000)
            await parts.check(follower)
            assert follower.complete is not None
            assert snapshots.is_due(*follower.complete, rebuilt=False)  # of another history
            assert snapshots.write(*follower.complete)
        assert parts.names() == ["000000000002", "lock"]
        async with parts.following(parts.snapshots()) as follower:
            assert follower.source == "snapshot"

    scenario(tmp_path, run)


# Writing


def filled(rows: int = 50, dim: int = DIM) -> FlatIndex:
    index = FlatIndex(dim, DIM)
    for i in range(rows):
        entry = upsert(f"s{i}", i).record
        vector = np.full(dim, i, "<f4").tobytes()
        index.upsert(entry.streamer_id, i + 1, vector, entry.content, entry.facets)
    return index


def empty() -> FlatIndex:
    return FlatIndex(DIM, DIM)


def no_index() -> FlatIndex:
    raise AssertionError("it was read already")


def test_when_one_is_due(tmp_path: Path) -> None:
    now = Schedule(every_s=1000, changes=5, from_rows=50, reserve_bytes=0)
    snapshots, index = Snapshots(tmp_path, MODEL, now), filled()
    at = Position("e", 50)
    assert not snapshots.is_due(filled(49), at, rebuilt=True)  # as fast from the store
    assert snapshots.is_due(index, at, rebuilt=False)
    assert snapshots.write(index, at)
    assert not snapshots.is_due(index, at, rebuilt=False)
    assert snapshots.is_due(index, at, rebuilt=True)
    assert not snapshots.is_due(index, Position("e", 60), rebuilt=False)  # too soon
    often = Snapshots(tmp_path, MODEL, replace(now, every_s=1e-9))
    assert often.write(index, at)
    assert not often.is_due(index, Position("e", 54), rebuilt=False)
    assert often.is_due(index, Position("e", 55), rebuilt=False)
    assert often.is_due(index, Position("other", 51), rebuilt=False)


def test_the_older_one_goes_when_the_new_one_is_there(tmp_path: Path) -> None:
    snapshots, index = Snapshots(tmp_path, MODEL, SOON), filled()
    (tmp_path / f"{UNFINISHED}000000000001-ab").mkdir()
    for sequence in (50, 60, 70):
        assert snapshots.write(index, Position("e", sequence))
        assert snapshots.state.sequence == sequence
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000000003", "lock"]
    restored = Snapshots(tmp_path, MODEL, SOON).restore(empty, Position("e", 99))
    assert restored is not None
    index, place = restored
    assert place == Position("e", 70)
    assert len(index) == 50


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (Position("other", 70), "the store's history is another one"),
        (Position("e", 69), "the store was set back"),
        (Position("e", 70, "x"), "written anew since"),
    ],
)
def test_one_that_was_read_ahead_is_of_this_history_or_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, head: Position, why: str
) -> None:
    assert Snapshots(tmp_path, MODEL, SOON).write(filled(), Position("e", 70, "m"))
    ahead = Snapshots(tmp_path, MODEL, SOON)
    ahead.begin(empty)
    restored = ahead.restore(no_index, Position("e", 75))
    assert restored is not None
    assert len(restored[0]) == 50
    assert restored[1] == Position("e", 70, "m")
    assert ahead.state.sequence == 70
    ahead.begin(empty)
    assert ahead.restore(no_index, head) is None
    assert why in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_one_that_is_damaged_is_noticed_when_it_is_wanted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert Snapshots(tmp_path, MODEL, SOON).write(filled(), Position("e", 70))
    (tmp_path / "000000000001" / "ids").write_bytes(b"")
    ahead = Snapshots(tmp_path, MODEL, SOON)
    ahead.begin(empty)
    assert ahead.restore(no_index, Position("e", 70)) is None
    assert "has 0 bytes" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_only_one_process_writes_at_a_time(tmp_path: Path) -> None:
    snapshots, index = Snapshots(tmp_path, MODEL, SOON), filled()
    assert snapshots.write(index, Position("e", 50))
    with (tmp_path / "lock").open("r+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert not snapshots.write(index, Position("e", 60))
        assert snapshots.state.failure is None
    assert snapshots.state.sequence == 50
    assert snapshots.write(index, Position("e", 60))


def test_it_leaves_room_for_the_store(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    snapshots = Snapshots(tmp_path, MODEL, replace(SOON, reserve_bytes=1 << 60))
    assert not snapshots.write(filled(), Position("e", 50))
    assert "it wants 1099511627776 MiB" in str(snapshots.state.failure)
    assert "no snapshot of the index, the one before stays" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    snapshots = Snapshots(tmp_path / "file" / "index", MODEL, SOON)
    snapshots.begin(empty)
    assert snapshots.restore(empty, Position("e", 1)) is None
    assert not snapshots.write(filled(), Position("e", 50))
    assert "Not a directory" in str(snapshots.state.failure)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Longer files can't be written, as with a quota (Python ignores the signal that comes)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 10_000, 300_000])
def test_a_full_disk_leaves_the_one_before(tmp_path: Path, size: int) -> None:
    snapshots = Snapshots(tmp_path, MODEL, SOON)
    index = filled(1000)
    assert snapshots.write(index, Position("e", 50))
    with files_of_at_most(size):
        assert not snapshots.write(index, Position("e", 60))
    assert "File too large" in str(snapshots.state.failure)
    assert snapshots.state.sequence == 50
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000000001", "lock"]
    assert Snapshots(tmp_path, MODEL, SOON).restore(empty, Position("e", 50))
    assert snapshots.write(index, Position("e", 60))
    assert snapshots.state.failure is None


def test_a_real_disk_that_is_full(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        snapshots = Snapshots(disk, MODEL, replace(SOON, reserve_bytes=-(1 << 30)))
        assert snapshots.write(filled(1000), Position("e", 50))
        assert not snapshots.write(filled(5000), Position("e", 60))
        assert "No space left on device" in str(snapshots.state.failure)
        assert sorted(path.name for path in disk.iterdir()) == ["000000000001", "lock"]
        restored = Snapshots(disk, MODEL, SOON).restore(empty, Position("e", 50))
        assert restored is not None
        assert restored[1] == Position("e", 50)
        assert len(restored[0]) == 1000
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# In its thread


def test_upkeep_saves_now_and_then_and_when_it_stops(tmp_path: Path) -> None:
    async def run(parts: Parts) -> None:
        await parts.store.write([upsert(f"s{i}", i) for i in range(100)])
        often = parts.snapshots()
        async with parts.following(often) as follower:
            upkeep = Upkeep(follower, often)
            upkeep.start()
            await until(lambda: often.state.sequence == 100)
            await parts.store.write([upsert(f"s{i}", 200 + i) for i in range(50)])
            await until(lambda: often.state.sequence == 150)
            await upkeep.stop()
        seldom = parts.snapshots(schedule=replace(SOON, every_s=1000))
        async with parts.following(seldom) as follower:
            assert follower.source == "snapshot"
            upkeep = Upkeep(follower, seldom)
            upkeep.start()
            await parts.store.write([upsert(f"s{i}", 300 + i) for i in range(4)])
            await follower.wait_for(154, 5000)
            await upkeep.stop()
            assert seldom.state.sequence == 150  # so few are read from the log
        async with parts.following(seldom) as follower:
            await parts.store.write([upsert(f"s{i}", 400 + i) for i in range(20)])
            await follower.wait_for(174, 5000)
            upkeep = Upkeep(follower, seldom)
            upkeep.start()
            await upkeep.stop()
            assert seldom.state.sequence == 174
        async with parts.following(parts.snapshots()) as follower:
            assert (follower.source, follower.sequence) == ("snapshot", 174)

    scenario(tmp_path, run)


def test_the_process_holds_no_files_open_afterwards(tmp_path: Path) -> None:
    snapshots, index = Snapshots(tmp_path, MODEL, SOON), filled()
    before = len(os.listdir("/proc/self/fd"))
    for i in range(5):
        assert snapshots.write(index, Position("e", 50 + i))
    assert len(os.listdir("/proc/self/fd")) == before
