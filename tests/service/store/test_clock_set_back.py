"""The server's clock is set back, by a step or as another one takes over: nobody waits for it."""

import asyncio
from typing import Any

import pytest

from service.store.redis.duplicates.groups import RedisGroups
from service.store.redis.duplicates.judgements import RedisJudgements
from service.store.redis.events.feed import RedisEvents
from service.store.redis.jobs import RedisJobs
from service.store.redis.models.store import RedisModels
from service.store.redis.store import RedisStore
from tests.service.store.test_jobs import (
    KINDS,
    LONG,
    brought_to,
    claimed_later,
    limited,
    new,
    state_of,
)

pytestmark = pytest.mark.anyio


async def set_back(admin: Any, key: str, prefix: str, ahead_ms: int = 86_400_000) -> None:
    """A lease was given just before the server's clock was set back by a day."""
    for name in (f"{prefix}until", f"{prefix}from"):
        assert await admin.hincrby(key, name, ahead_ms) > ahead_ms + 1e12


@pytest.mark.parametrize("operation", ["claim", "cancel"])
async def test_nobody_waits_for_a_clock_that_was_set_back_to_have_a_job(
    store: RedisStore, admin: Any, operation: str
) -> None:
    short = limited(store, lease_s=0.01)
    await brought_to(short, "running")
    await set_back(admin, "ss:job:a", "lease_")
    if operation == "claim":
        assert (await claimed_later(short)).attempts == 2
        return
    async with asyncio.timeout(60):
        while await state_of(short) != "cancelled":
            await short.cancel("a")


async def test_a_runner_that_lives_keeps_its_job_when_the_clock_is_set_back(
    store: RedisStore, admin: Any
) -> None:
    jobs = RedisJobs(store.client, LONG)
    lease = await brought_to(jobs, "running")
    await set_back(admin, "ss:job:a", "lease_")
    assert await jobs.claim(["here"], KINDS) is None
    assert await jobs.hold(lease) is False
    assert await jobs.claim(["here"], KINDS) is None


async def test_a_job_that_is_alone_gives_way_after_the_clock_was_set_back(
    store: RedisStore, admin: Any
) -> None:
    jobs = limited(store, lease_s=0.01)
    for job_id, place in (("a", "here"), ("b", "there")):
        assert await jobs.submit(new(job_id, place=place))
    assert await jobs.claim(["here"], KINDS, alone=KINDS) is not None
    await set_back(admin, "ss:jobs:alone", "import:")
    async with asyncio.timeout(60):
        while await jobs.claim(["there"], KINDS, alone=KINDS) is None:
            pass


async def test_nobody_waits_for_a_clock_that_was_set_back_to_evaluate(
    store: RedisStore, admin: Any
) -> None:
    client = store.client
    groups = RedisGroups(client, RedisJudgements(client), RedisEvents(client))
    for lease_s in (60, 0.01):
        await groups.claim("one", lease_s)
        for name in ("from", "until"):
            await admin.hincrby("ss:duplicates:state", name, 86_400_000)
        if lease_s == 60:  # whoever lives keeps the lease
            assert await groups.claim("two", 60) is None
            await groups.renew(1, 60)
            assert await groups.claim("two", 60) is None
    async with asyncio.timeout(60):
        while await groups.claim("two", 60) is None:
            pass


async def test_no_replica_is_missed_and_one_that_died_is_not_seen_for_longer(
    store: RedisStore, admin: Any
) -> None:
    models, key = RedisModels(store.client), "ss:models:replicas"
    seconds, _ = await admin.time()
    await admin.hset(key, "before", f"{seconds + 86_400}|{{}}")
    await models.note_replica("alive", {"als": ["g0"]})
    assert await models.replicas(3600.0) == {"alive": {"als": ["g0"]}, "before": {}}
    told_at, held = (await admin.hget(key, "before")).split(b"|")
    assert held == b"{}"
    assert seconds <= int(told_at) < seconds + 3600
    await admin.hset(key, "before", f"{int(told_at) - 3601}|{{}}")
    assert (await models.replicas(3600.0)).keys() == {"alive"}
    assert await admin.hkeys(key) == [b"alive"]


async def test_replicas_are_seen_while_memory_is_full(store: RedisStore, admin: Any) -> None:
    seconds, _ = await admin.time()
    await admin.hset("ss:models:replicas", "before", f"{seconds + 86_400}|{{}}")
    await admin.config_set("maxmemory", 1)
    try:
        assert await RedisModels(store.client).replicas(3600.0) == {"before": {}}
    finally:
        await admin.config_set("maxmemory", 0)


async def test_a_key_was_not_used_last_in_the_future(store: RedisStore, admin: Any) -> None:
    seconds, _ = await admin.time()
    await store.keys.note_used({"ahead": seconds + 86_400.0})
    await admin.zadd("ss:keys:used", {"before": seconds + 86_400.0})
    await store.keys.note_used({"before": seconds - 5.25})
    ahead, before = await store.keys.last_used(["ahead", "before"])
    assert ahead is not None
    assert seconds <= ahead < seconds + 3600
    assert before == seconds - 5.25
