"""Following the log: what an index relies on to be equal to the store."""

import asyncio
import contextlib
import random
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from service.errors import StoreUnavailable
from service.settings import Settings
from service.settings.store import LOG_ENTRIES
from service.settings.store import Store as StoreSettings
from service.store.base import Delete, LogEntry, LogGap, Position, WentBack
from service.store.embedded.supervisor import EmbeddedStore
from service.store.opening import open_store as open_store_of
from service.store.redis.client import Limits
from service.store.redis.store import RedisStore
from tests.service.store.conftest import OpenStore
from tests.service.store.records import (
    apply,
    put,
    read_log,
    record,
    remove,
    scanned,
    until,
    upsert,
)

pytestmark = pytest.mark.anyio


async def test_the_log_tells_every_write_in_order(store: RedisStore) -> None:
    await put(store, "a", "1")
    await store.write([upsert("b"), upsert("a", "never", 0), Delete("a")])
    log = await read_log(store, 0, 3)
    assert [(e.sequence, e.streamer_id, e.entry is None) for e in log] == [
        (1, "a", False),
        (2, "b", False),
        (3, "a", True),
    ]
    entry, written = log[0].entry, record("a", "1")
    assert entry is not None
    assert entry.version == 1
    assert (entry.embedding, entry.content, entry.facets) == (
        written.embedding,
        written.content,
        written.facets,
    )
    assert await read_log(store, 1, 3) == log[1:]


async def test_a_follower_waits_for_news(store: RedisStore) -> None:
    await put(store, "a")
    position = await store.position()
    async with contextlib.aclosing(store.follow(position.sequence, position.epoch)) as feed:
        following = asyncio.ensure_future(anext(feed))
        await asyncio.sleep(0.5)  # longer than the follower blocks at a time
        assert not following.done()
        await put(store, "b")
        assert [entry.streamer_id for entry in await following] == ["b"]
        await remove(store, "a")
        (entry,) = await anext(feed)
        assert entry == LogEntry(3, "a", None, (await store.position()).mark)


async def test_news_arrive_at_once(open_store: OpenStore) -> None:
    store = await open_store(limits=Limits(follow_block_s=120.0))
    async with contextlib.aclosing(store.follow(0)) as feed, asyncio.timeout(60):
        following = asyncio.ensure_future(anext(feed))
        await asyncio.sleep(0.1)
        await put(store, "a")
        await following


async def test_long_logs_come_in_parts(open_store: OpenStore) -> None:
    store = await open_store(limits=Limits(follow_entries=10))
    await store.write([upsert(f"s{i}") for i in range(35)])
    parts: list[int] = []
    async with contextlib.aclosing(store.follow(0)) as feed:
        async for entries in feed:
            parts.append(len(entries))
            if entries[-1].sequence == 35:
                break
    assert parts == [10, 10, 10, 5]


async def test_followers_see_the_same_history_under_load(store: RedisStore) -> None:
    async def writer(number: int) -> None:
        choices = random.Random(number)
        for step in range(25):
            i = f"s{choices.randrange(8)}"
            await store.write([Delete(i) if choices.random() < 0.3 else upsert(i, str(step))])

    async def follower(into: list[LogEntry]) -> None:
        async for entries in store.follow(0):
            into += entries

    histories: list[list[LogEntry]] = [[], [], []]
    followers = [asyncio.create_task(follower(history)) for history in histories]
    await asyncio.gather(*(writer(n) for n in range(8)))
    last = (await store.position()).sequence
    await until(lambda: all(len(history) == last for history in histories))
    for task in followers:
        task.cancel()
    await asyncio.gather(*followers, return_exceptions=True)
    assert histories[0] == histories[1] == histories[2]
    assert [entry.sequence for entry in histories[0]] == list(range(1, last + 1))


async def test_scan_and_log_together_give_the_store(store: RedisStore) -> None:
    await store.write([upsert(f"s{i:03}", "old") for i in range(120)])
    begin = await store.position()
    index = {}
    async for entries in store.scan(10):
        index |= {entry.streamer_id: entry for entry in entries}
        done = len(index)
        await store.write([Delete(f"s{done % 120:03}"), upsert(f"s{(done * 7) % 120:03}", "new")])
        await store.write([upsert(f"new{done}")])
    end = await store.position()
    apply(index, await read_log(store, begin.sequence, end.sequence))
    assert index == await scanned(store)


async def test_a_trimmed_log_is_a_gap(open_store: OpenStore) -> None:
    store = await open_store(limits=Limits(log_entries=50))
    for part in range(30):
        await store.write([upsert(f"s{i}") for i in range(part * 20, part * 20 + 20)])
    with pytest.raises(LogGap):
        await read_log(store, 0, 600)
    with pytest.raises(LogGap) as caught:  # which is no sign of a history that was lost
        await store.check_continues(Position((await store.position()).epoch, 500, "of then"))
    assert not isinstance(caught.value, WentBack)
    # What it promised to keep is there, and follows without a gap.
    assert len(await read_log(store, 550, 600)) == 50


async def test_a_store_has_one_length_of_its_log_whatever_its_writers_were_started_with(
    open_store: OpenStore, admin: Any
) -> None:
    short, long = await open_store(limits=Limits(log_entries=50)), await open_store()
    assert await long.keep_log(100) == Limits().log_entries
    for part in range(30):
        writer = (short, long)[part % 2]
        await writer.write([upsert(f"s{i}") for i in range(part * 20, part * 20 + 20)])
    assert len(await read_log(long, 500, 600)) == 100
    with pytest.raises(LogGap):
        await read_log(long, 0, 600)
    assert await short.keep_log(1000) == 100
    await short.write([upsert(f"t{i}") for i in range(400)])
    assert len(await read_log(long, 500, 1000)) == 500
    assert await short.keep_log(50) == 1000
    await long.write([upsert("u")])
    assert 50 <= await admin.xlen("ss:log") < 150


@pytest.mark.parametrize("entries", [LOG_ENTRIES, 50_000])
async def test_the_service_that_starts_last_decides_and_says_so(
    embedded: EmbeddedStore,
    store: RedisStore,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    entries: int,
) -> None:
    await store.keep_log(3000)
    given = {"bundle": tmp_path, "data_dir": tmp_path, "redis_url": embedded.url}
    settings = Settings(**given, store=StoreSettings(log_entries=entries))
    for said in (f"keeps {entries} writes from now on instead of 3000", ""):
        caplog.clear()
        async with AsyncExitStack() as stack:
            await open_store_of(settings, None, stack)
        assert said in caplog.text
        assert ("LOG_ENTRIES" in caplog.text) == bool(said)
    async with AsyncExitStack() as stack:  # without the setting nothing changes
        await open_store_of(Settings(**given), None, stack)
    assert await store.keep_log(3000) == entries


async def test_a_follower_that_is_overtaken_notices(open_store: OpenStore) -> None:
    store = await open_store(limits=Limits(log_entries=50, follow_entries=5))
    await store.write([upsert(f"s{i}") for i in range(10)])
    async with contextlib.aclosing(store.follow(0)) as feed:
        assert [e.sequence for e in await anext(feed)] == [1, 2, 3, 4, 5]
        for part in range(30):
            await store.write([upsert(f"t{i}") for i in range(part * 20, part * 20 + 20)])
        with pytest.raises(LogGap):
            await anext(feed)


async def test_an_index_ahead_of_the_store_is_a_gap(store: RedisStore) -> None:
    await put(store, "a")
    with pytest.raises(LogGap, match="ends at 1, before 5"):
        await read_log(store, 5, 6)


async def test_another_epoch_is_a_gap(store: RedisStore) -> None:
    await put(store, "a")
    with pytest.raises(LogGap, match="another history"):
        await anext(store.follow(0, "somebody else's"))


async def test_a_store_that_is_emptied_under_a_follower_is_a_gap(
    store: RedisStore, admin: Any
) -> None:
    await store.write([upsert("a"), upsert("b")])
    before = await store.position()
    async with contextlib.aclosing(store.follow(2, before.epoch)) as feed:
        waiting = asyncio.ensure_future(anext(feed))
        await asyncio.sleep(0.05)
        await admin.flushall()
        with pytest.raises(LogGap):
            await waiting
    assert (await store.position()).epoch != before.epoch


async def test_a_lost_log_is_a_gap(store: RedisStore, admin: Any) -> None:
    await store.write([upsert("a"), upsert("b")])
    await admin.delete("ss:log")
    with pytest.raises(LogGap, match="lost 2"):
        await read_log(store, 1, 2)
    # Nothing is missing for who has seen all; the log goes on with the next write.
    async with contextlib.aclosing(store.follow(2)) as feed:
        waiting = asyncio.ensure_future(anext(feed))
        await asyncio.sleep(0.3)
        await put(store, "c")
        assert [entry.sequence for entry in await waiting] == [3]


async def test_a_lost_connection_ends_the_following(store: RedisStore, admin: Any) -> None:
    await put(store, "a")
    async with contextlib.aclosing(store.follow(1)) as feed:
        waiting = asyncio.ensure_future(anext(feed))
        async with asyncio.timeout(30):
            while all(c["cmd"] != "xread" for c in await admin.client_list()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        with pytest.raises(StoreUnavailable):
            await waiting
    await put(store, "b")
    assert [entry.sequence for entry in await read_log(store, 1, 2)] == [2]


async def test_an_abandoned_follower_leaves_no_connection(store: RedisStore, admin: Any) -> None:
    await put(store, "a")
    before = len(await admin.client_list())
    for _ in range(5):
        await read_log(store, 0, 1)
    async with contextlib.aclosing(store.follow(1)) as feed:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(feed), 0.05)
    async with asyncio.timeout(30):  # the server hears of it a little later
        while len(await admin.client_list()) != before:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def saved(admin: Any) -> dict[bytes, bytes]:
    """All that is stored, as a backup has it."""
    return {key: await admin.dump(key) for key in await admin.keys("ss:*")}


async def restore(admin: Any, backup: dict[bytes, bytes]) -> None:
    await admin.flushall()
    for key, content in backup.items():
        await admin.restore(key, 0, content)


async def test_a_store_that_went_back_and_counted_on(store: RedisStore, admin: Any) -> None:
    for name in ("a", "b"):
        await put(store, name)
    backup = await saved(admin)
    await put(store, "c")
    mine = await store.position()
    await restore(admin, backup)
    for name in ("d", "e", "f"):
        await put(store, name)
    head = await store.position()
    assert (head.epoch, head.sequence) == (mine.epoch, 5)
    with pytest.raises(WentBack, match="3 was written anew"):
        await store.check_continues(mine)
    with pytest.raises(WentBack, match="ends at 5"):
        await store.check_continues(Position(mine.epoch, 6, "lost"))
    await store.check_continues(head)
    with pytest.raises(LogGap, match="went back, and then 3 was written anew"):
        await anext(store.follow(mine.sequence, mine.epoch, mine.mark))
    # At the same number, too; and what was not lost is continued.
    await restore(admin, backup)
    kept = await store.position()
    await put(store, "d")
    with pytest.raises(LogGap, match="went back, and then 3 was written anew"):
        await anext(store.follow(mine.sequence, mine.epoch, mine.mark))
    async with contextlib.aclosing(store.follow(kept.sequence, kept.epoch, kept.mark)) as feed:
        assert [entry.streamer_id for entry in await anext(feed)] == ["d"]


async def test_a_log_of_an_older_release_is_continued(store: RedisStore, admin: Any) -> None:
    await put(store, "a")
    await admin.hdel("ss:meta", "mark")
    before = await store.position()
    assert before.mark == ""
    await put(store, "b")
    async with contextlib.aclosing(store.follow(1, before.epoch, before.mark)) as feed:
        assert [entry.streamer_id for entry in await anext(feed)] == ["b"]
