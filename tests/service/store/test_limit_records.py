"""Rate limits in a real store: services add up what was spent, by the server's clock."""

from typing import Any

import pytest

from service.errors import StoreFull, StoreUnavailable
from service.store.redis.store import RedisStore
from tests.service.store.conftest import OpenStore

pytestmark = pytest.mark.anyio
LONG = 3600.0


async def test_what_is_spent_adds_up(open_store: OpenStore) -> None:
    one, other = await open_store(), await open_store()
    assert await one.limits.settle({}) == []
    assert await one.limits.settle({"a": 0.0, "b": 0.0}) == [0, 0]
    await one.limits.settle({"a": LONG, "b": 2 * LONG})
    left = await other.limits.settle({"b": LONG, "a": 0.0, "c": 0.0})
    # The server's clock goes on between the two.
    assert 3 * LONG - 60 < left[0] <= 3 * LONG
    assert LONG - 60 < left[1] <= LONG
    assert left[2] == 0


async def test_a_bucket_that_is_full_again_is_gone(store: RedisStore, admin: Any) -> None:
    await store.limits.settle({"a": LONG, "b": 0.0})
    assert await admin.exists("ss:limit:a", "ss:limit:b") == 1
    remaining_ms = await admin.pttl("ss:limit:a")
    assert (LONG - 60) * 1000 < remaining_ms <= LONG * 1000
    seconds, microseconds = await admin.time()
    full_at = float(await admin.get("ss:limit:a"))  # as older releases read it
    assert full_at > (seconds + LONG - 60) * 1_000_000 + microseconds
    await admin.set("ss:limit:a", (seconds - 10) * 1_000_000)  # as if it had not expired yet
    assert await store.limits.settle({"a": 0.0}) == [0]


async def test_a_clock_that_was_set_back_makes_nobody_wait(store: RedisStore, admin: Any) -> None:
    seconds, _ = await admin.time()
    ahead = seconds + 24 * LONG
    for name, full_at in {"a": ahead + LONG, "full": ahead}.items():
        await admin.set(f"ss:limit:{name}", f"{full_at:.0f}000000.{ahead:.0f}000000")
    assert await store.limits.settle({"a": 0.0, "full": 0.0}) == [LONG, 0]
    (left,) = await store.limits.settle({"a": LONG})  # and time pays it back again
    assert 2 * LONG - 60 < left < 2 * LONG
    assert await admin.pttl("ss:limit:a") <= 2 * LONG * 1000


async def test_a_bucket_of_an_older_release_is_read(store: RedisStore, admin: Any) -> None:
    seconds, _ = await admin.time()
    await admin.set("ss:limit:a", f"{seconds + LONG:.0f}000000")
    (left,) = await store.limits.settle({"a": LONG})
    assert 2 * LONG - 60 < left <= 2 * LONG


async def test_many_buckets(store: RedisStore) -> None:
    spent = {f"search:{i:012x}": LONG * (i % 3) for i in range(1203)}
    left = await store.limits.settle(spent)
    assert len(left) == 1203
    assert [round(seconds / LONG) for seconds in left] == [i % 3 for i in range(1203)]


async def test_limits_are_no_streamers(store: RedisStore) -> None:
    position = await store.position()
    await store.limits.settle({"a": LONG})
    assert (await store.position(), await store.count(), await store.keys.all()) == (
        position,
        0,
        {},
    )


async def test_a_full_server_counts_nothing(store: RedisStore, admin: Any) -> None:
    await admin.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreFull):
            await store.limits.settle({"a": LONG})
    finally:
        await admin.config_set("maxmemory", 0)
    assert await store.limits.settle({"a": 0.0}) == [0]


async def test_a_store_that_is_gone(open_store: OpenStore) -> None:
    store = await open_store()
    await store.close()
    with pytest.raises(StoreUnavailable):
        await RedisStore("redis://127.0.0.1:1").limits.settle({"a": 1.0})
