"""The index stays equal to the store, whatever happens to the log."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from redis.asyncio import Redis

from service.engine.replica import follower as follower_module
from service.engine.replica.follower import Follower
from service.engine.replica.snapshots import Model
from service.errors import NotReady, NotYetVisible, Unavailable
from service.index.faiss.index import FaissIndex
from service.store.base import Delete, IndexEntry, LogEntry, Record, Upsert, Written
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.client import Limits
from service.store.redis.store import RedisStore
from tests.service.index.asked import rows_of

DIM = 4
MODEL = Model("m", DIM, DIM, "fingerprint")
LIMITS = Limits(log_entries=50, follow_block_s=0.1, connect_timeout_s=10.0)


def upsert(streamer_id: str, seed: int = 0) -> Upsert:
    vector = np.random.default_rng(seed).standard_normal(DIM).astype("<f4")
    return Upsert(
        Record(
            streamer_id=streamer_id,
            version=0,
            embedding=vector.tobytes(),
            content=vector.astype("<f2").tobytes(),
            facets=json.dumps({"seed": seed}).encode(),
            profile=b"{}",
            digest="",
            model_version="m",
            status="indexed",
            modalities=b"{}",
            id_embedding=b"",
            updated_at=0.0,
        )
    )


@asynccontextmanager
async def parts(folder: Path) -> AsyncGenerator[tuple[EmbeddedStore, RedisStore, Follower], None]:
    """A store that keeps few log entries, and a follower that was not started yet."""
    async with EmbeddedStore(folder) as embedded:
        store = await RedisStore(embedded.url, limits=LIMITS, trouble=embedded.trouble).open()
        follower = Follower(store, lambda: FaissIndex(DIM, DIM), MODEL)
        try:
            yield embedded, store, follower
        finally:
            await follower.stop()
            await store.close()


async def until(holds: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
    """Wait for it, for a minute at most."""
    async with asyncio.timeout(60):
        while True:
            answer = holds()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.02)


def test_it_scans_then_follows(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with parts(tmp_path) as (_, store, follower):
            await store.write([upsert(f"s{i}", i) for i in range(1500)])
            with pytest.raises(NotReady):
                _ = follower.index
            follower.start()
            await until(lambda: follower.is_ready)
            assert follower.index.count == 1500
            assert follower.sequence == 1500
            await store.write([upsert("s0", 99), Delete("s1"), upsert("new")])
            await follower.wait_for(1503, 60_000)
            rows = rows_of(follower.index, ["s0", "s1", "new"])
            assert rows[0] is not None
            assert rows[0].facets == {"seed": 99}
            assert rows[1] is None
            assert rows[2] is not None
            with pytest.raises(NotYetVisible, match="the store ends at sequence 1503") as lost:
                await follower.wait_for(1504, 50)
            assert lost.value.store_sequence == 1503

    asyncio.run(scenario())


def test_a_write_is_shown_unless_the_index_is_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower_module, "_SHOW_MS", 100)

    async def scenario() -> None:
        async with parts(tmp_path) as (embedded, store, follower):
            loop = asyncio.get_running_loop()
            await follower.show(10**9)  # no index yet: it returns
            follower.start()
            await until(lambda: follower.is_ready)
            with monkeypatch.context() as patient:
                patient.setattr(follower_module, "_SHOW_MS", 60_000)  # on a slow machine as well
                for i in range(200):
                    (written,) = await store.write([upsert(f"s{i}", i)])
                    assert isinstance(written, Written)
                    await follower.show(written.sequence)
                    assert rows_of(follower.index, [f"s{i}"]) != [None]
            begun = loop.time()
            await follower.show(10**9)  # never written
            assert 0.05 < loop.time() - begun < 30
            await embedded.stop()
            await until(lambda: follower.behind_because is not None)
            begun = loop.time()
            for _ in range(600):  # a minute, if each waited its tenth of a second
                await follower.show(10**9)
            assert loop.time() - begun < 30

    asyncio.run(scenario())


@pytest.mark.slow
def test_a_gap_in_the_log_means_a_new_scan(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with parts(tmp_path) as (embedded, store, follower):
            await store.write([upsert(f"s{i}", i) for i in range(20)])
            follower.start()
            await until(lambda: follower.is_ready)
            await follower.stop()  # it lags behind ...
            await store.write([Delete("s3")])
            for _ in range(300):  # ... until the log has lost what it needs next
                await store.write([upsert(f"t{i}", i) for i in range(10)])
            admin: Redis = Redis.from_url(embedded.url)
            await admin.xtrim("ss:log", maxlen=10, approximate=False)
            await admin.aclose()
            assert follower.index.count == 20
            follower.start()
            await until(lambda: follower.sequence == 3021)
            assert follower.index.count == 29
            assert rows_of(follower.index, ["s3"]) == [None]

    asyncio.run(scenario())


class SlowToScan(RedisStore):
    """A store whose scans wait until they may go on."""

    may_scan: asyncio.Event

    async def scan(self, chunk: int = 1000) -> AsyncGenerator[list[IndexEntry], None]:
        await self.may_scan.wait()
        async for entries in super().scan(chunk):
            yield entries


@pytest.mark.parametrize("cause", ["gap", "another history"])
def test_answers_of_an_index_that_is_being_replaced_say_so(tmp_path: Path, cause: str) -> None:
    async def scenario() -> None:
        async with parts(tmp_path) as (embedded, store, _):
            slow = await SlowToScan(embedded.url, limits=LIMITS).open()
            slow.may_scan = asyncio.Event()
            slow.may_scan.set()
            follower = Follower(slow, lambda: FaissIndex(DIM, DIM), MODEL)
            assert follower.sequence == 0
            await store.write([upsert(f"s{i}", i) for i in range(20)])
            follower.start()
            await until(lambda: follower.is_ready)
            assert (follower.sequence, follower.behind_because) == (20, None)
            await follower.stop()
            slow.may_scan.clear()
            admin: Redis = Redis.from_url(embedded.url)
            if cause == "gap":
                await store.write([upsert(f"t{i}", i) for i in range(10)])
                await admin.xtrim("ss:log", maxlen=2, approximate=False)
            else:
                await admin.flushall()
                await store.write([upsert(f"t{i}", i) for i in range(30)])
            await admin.aclose()
            follower.start()
            await until(lambda: follower.behind_because is not None)
            assert "being built anew" in str(follower.behind_because)
            assert follower.is_ready  # the old index answers, and says of when it is
            assert (follower.index.count, follower.sequence) == (20, 20)
            with pytest.raises(NotYetVisible, match="applied sequence 0") as late:
                await follower.wait_for(1, 50)  # no number of the lost history counts
            assert late.value.store_sequence is None  # the store has it
            slow.may_scan.set()
            await follower.wait_for(30, 60_000)
            assert (follower.sequence, follower.behind_because) == (30, None)
            await follower.stop()
            await slow.close()

    asyncio.run(scenario())


def test_another_history_means_a_new_scan(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with parts(tmp_path) as (embedded, store, follower):
            await store.write([upsert(f"s{i}", i) for i in range(20)])
            follower.start()
            await until(lambda: follower.is_ready)
            admin: Redis = Redis.from_url(embedded.url)
            await admin.flushall()  # as after a restore of a backup
            await admin.aclose()
            await store.write([upsert("only", 1)])
            await until(lambda: follower.sequence == 1)
            assert follower.index.count == 1
            assert rows_of(follower.index, ["only"])[0] is not None

    asyncio.run(scenario())


def test_it_goes_on_after_the_store_was_killed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with parts(tmp_path) as (embedded, store, follower):
            await store.write([upsert(f"s{i}", i) for i in range(20)])
            follower.start()
            await until(lambda: follower.is_ready)
            index = follower.index
            assert embedded.pid is not None
            os.kill(embedded.pid, signal.SIGKILL)
            await until(lambda: follower.failure is not None)
            assert follower.index.count == 20  # it answers from memory meanwhile
            assert "the newest writes may be missing" in str(follower.behind_because)

            async def written() -> bool:
                try:
                    await store.write([upsert("after", 1)])
                except Exception:  # noqa: BLE001 - whatever it is, it has to pass
                    return False
                return True

            await until(written)
            await until(lambda: rows_of(follower.index, ["after"])[0] is not None)
            await until(lambda: follower.failure is None)
            assert follower.behind_because is None
            assert follower.index is index  # the same history: no new scan was needed

    asyncio.run(scenario())


def test_a_store_that_is_silent_within_the_grace_leaves_the_index_ready(tmp_path: Path) -> None:
    clock = [0.0]

    async def scenario() -> None:
        async with parts(tmp_path) as (embedded, store, _):
            follower = Follower(
                store, lambda: FaissIndex(DIM, DIM), MODEL, max_lag_s=10.0, now_s=lambda: clock[0]
            )
            follower.start()
            await until(lambda: follower.lag_s is not None)
            await embedded.stop()
            await until(lambda: follower.failure is not None)
            with pytest.raises(Unavailable):
                await follower._look_once()
            clock[0] = 200.0
            assert follower.lag_s == 200.0
            assert follower.behind_for(300.0) is None
            assert "the newest writes may be missing" in str(follower.behind_for(100.0))
            assert follower.behind_because is not None
            await follower.stop()

    asyncio.run(scenario())


async def _nothing(_: object) -> None:
    pass


def test_a_rebuilt_index_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    """Writes go on meanwhile, before and after the scan, and none is missing in it."""

    async def scenario() -> None:
        async with parts(tmp_path) as (_, store, follower):
            await store.write([upsert(f"s{i}", i) for i in range(1500)])
            follower.start()
            await until(lambda: follower.is_ready)
            old, told = follower.index, list[int]()

            async def tell(done: int) -> None:
                assert follower.index is old
                if len(told) < 2:  # of those that come later, the scan finds some as well
                    await store.write([upsert("s3", 7), upsert(f"told-{done}", done)])
                told.append(done)

            async def prepare(new: object) -> None:
                assert follower.index is old
                assert new is not old
                await store.write([Delete("s4"), upsert("prepared", 1)])

            await follower.rebuild(tell, prepare)
            assert 1500 <= told[-1] <= 1502
            new = follower.index
            assert new is not old
            (last,) = await store.write([upsert("after", 2)])
            assert isinstance(last, Written)
            await follower.wait_for(last.sequence, 60_000)
            stored = {i async for part in store.scan() for i in [e.streamer_id for e in part]}
            assert {row.streamer_id async for row in new.rows()} == stored
            assert {"prepared", "after"} <= stored
            assert "s4" not in stored
            assert follower.behind_because is None

    asyncio.run(scenario())


def test_a_rebuild_that_is_cancelled_changes_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with parts(tmp_path) as (_, store, follower):
            await store.write([upsert(f"s{i}", i) for i in range(20)])
            follower.start()
            await until(lambda: follower.is_ready)
            old, begun = follower.index, asyncio.Event()

            async def prepare(_: object) -> None:
                begun.set()
                await asyncio.Event().wait()

            task = asyncio.create_task(follower.rebuild(_nothing, prepare))
            await begun.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            (last,) = await store.write([upsert("after", 2)])
            assert isinstance(last, Written)
            await follower.wait_for(last.sequence, 60_000)
            assert follower.index is old

    asyncio.run(scenario())


def test_a_rebuild_notices_another_history(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with parts(tmp_path) as (embedded, store, follower):
            await store.write([upsert(f"s{i}", i) for i in range(20)])
            follower.start()
            await until(lambda: follower.is_ready)

            async def prepare(_: object) -> None:
                async with Redis.from_url(embedded.url) as admin:
                    await admin.flushall()
                await store.position()
                await until(lambda: follower.index.count == 0)

            with pytest.raises(Unavailable, match="can't be rebuilt"):
                await follower.rebuild(_nothing, prepare)
            assert follower.index.count == 0

    asyncio.run(scenario())


class Losing(RedisStore):
    """A store beside whose log, while it is read, something else happens."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def follow(
        self, after: int, epoch: str | None = None, mark: str = ""
    ) -> AsyncGenerator[list[LogEntry], None]:
        async for entries in super().follow(after, epoch, mark):
            if self.meanwhile is not None:
                await self.meanwhile()
            yield entries


def test_a_rebuilt_index_has_what_the_live_one_found_in_another_scan(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with EmbeddedStore(tmp_path) as embedded:
            store = await Losing(embedded.url, limits=LIMITS).open()
            follower = Follower(store, lambda: FaissIndex(DIM, DIM), MODEL)
            times = iter(range(4))

            async def scanned_anew() -> None:
                if (time := next(times, None)) is not None:
                    await store.write([upsert(f"new-{time}"), upsert(f"newer-{time}")])
                    follower._lose("the log has a gap")
                    await follower._synchronise()

            async def tell(_: int) -> None:
                return None

            async def prepare(_: object) -> None:
                await scanned_anew()

            await store.write([upsert("a")])
            await follower._synchronise()
            store.meanwhile = scanned_anew
            before = follower.index
            await follower.rebuild(tell, prepare)
            assert follower.index is not before
            assert (follower.index.count, follower.sequence) == (9, 9)
            await store.close()

    asyncio.run(scenario())
