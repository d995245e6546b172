"""How many jobs there may be, and which make room for another."""

from typing import Any

import pytest

from service.store.redis.store import RedisStore
from tests.service.store.test_jobs import claimed, limited, new

pytestmark = pytest.mark.anyio


async def test_there_are_so_many_jobs_and_no_more(store: RedisStore) -> None:
    jobs = limited(store, most_active=2, most_kept=3)
    assert await jobs.submit(new("a"))
    assert not await jobs.is_full()
    assert await jobs.submit(new("b"))
    assert await jobs.is_full()
    assert not await jobs.submit(new("c"))
    assert await jobs.get("c") is None
    await jobs.finish(await claimed(jobs), "failed", b"{}")  # a
    assert await jobs.submit(new("c"))
    before = await jobs.get("a")
    assert await jobs.retry("a") == before  # b and c are queued
    assert not await jobs.submit(new("d"))


async def test_the_oldest_finished_jobs_make_room(store: RedisStore, admin: Any) -> None:
    jobs = limited(store, most_active=3, most_kept=4)
    for job_id in ("a", "b", "c"):
        assert await jobs.submit(new(job_id))
    for job_id in ("a", "b"):  # older than c, and under way again
        await jobs.finish(await claimed(jobs), "failed")
        await jobs.retry(job_id)
    await jobs.cancel("c")
    assert await jobs.submit(new("d"))
    await jobs.cancel("d")
    assert await jobs.submit(new("e"))
    assert await jobs.known(["a", "b", "c", "d", "e"]) == [True, True, False, True, True]
    assert await admin.zcard("ss:jobs") == 4


async def test_those_that_finished_first_make_room(store: RedisStore, admin: Any) -> None:
    jobs = limited(store, most_kept=4)
    for job_id in ("b", "c", "d", "e"):
        assert await jobs.submit(new(job_id))
    first = await claimed(jobs)
    for job_id in ("c", "d", "e"):
        await jobs.cancel(job_id)
    await jobs.finish(first, "succeeded", b"{}")  # as a long one that was begun before
    assert await admin.zcard("ss:jobs:finished") == 4
    await admin.zadd(
        "ss:jobs:finished", {"c": 1, "d": 2, "e": 3, "b": 4}
    )  # one millisecond or more
    await jobs.retry("d")
    assert await jobs.submit(new("f"))
    assert await jobs.known(["b", "c", "d", "e"]) == [True, False, True, True]
    assert await jobs.submit(new("g"))
    assert await jobs.known(["b", "d", "e", "f", "g"]) == [True, True, False, True, True]
    await jobs.cancel("d")
    assert await admin.zrange("ss:jobs:finished", 0, -1) == [b"b", b"d"]


async def test_jobs_that_an_earlier_release_finished_or_retried_make_room(
    store: RedisStore, admin: Any
) -> None:
    jobs = limited(store, most_kept=3)
    for job_id in ("a", "b", "c"):
        assert await jobs.submit(new(job_id))
        await jobs.cancel(job_id)
    await admin.zadd("ss:jobs:finished", {"a": 1, "c": 2})
    await admin.zrem("ss:jobs:finished", "b")  # it knows no such key
    assert await jobs.submit(new("d"))
    assert await jobs.known(["a", "b", "c"]) == [True, False, True]
    await jobs.retry("a")
    await admin.zadd("ss:jobs:finished", {"a": 1})
    assert await jobs.submit(new("e"))
    assert await jobs.known(["a", "c", "d"]) == [True, False, True]
