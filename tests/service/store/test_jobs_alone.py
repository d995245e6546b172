"""Jobs beside which no other of their kind runs, wherever it is."""

import asyncio
from typing import Any

import pytest

from service.store.jobs import Job, LeaseLost
from service.store.redis.jobs import RedisJobs
from service.store.redis.store import RedisStore
from tests.service.store.test_jobs import KINDS, LONG, limited, new

pytestmark = pytest.mark.anyio


async def test_of_a_kind_that_is_alone_one_job_runs_wherever_it_is(store: RedisStore) -> None:
    jobs = limited(store, lease_s=600)

    async def take(place: str) -> Job | None:
        return await jobs.claim([place], KINDS, alone=KINDS)

    for job_id, place in (("a", "here"), ("b", "there"), ("c", "there")):
        assert await jobs.submit(new(job_id, place=place))
    first = await take("here")
    assert first is not None
    assert await take("there") is None
    assert await jobs.hold(first.lease) is False
    assert await take("there") is None
    await jobs.finish(first.lease, "succeeded", b"{}")
    second = await take("there")
    assert second is not None
    assert second.job_id == "b"
    assert await take("there") is None
    await jobs.release(second.lease)  # as a process that stops does
    again = await take("there")
    assert again is not None
    assert again.job_id == "b"
    await jobs.finish(again.lease, "failed", b"{}")
    assert (job := await take("there")) is not None
    assert job.job_id == "c"


async def test_a_job_that_is_alone_gives_way_when_its_runner_died(store: RedisStore) -> None:
    jobs = limited(store, lease_s=0.05)
    for job_id, place in (("a", "here"), ("b", "there")):
        assert await jobs.submit(new(job_id, place=place))
    assert await jobs.claim(["here"], KINDS, alone=KINDS) is not None
    async with asyncio.timeout(60):
        while (job := await jobs.claim(["there"], KINDS, alone=KINDS)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert job.job_id == "b"


async def lapsed(admin: Any, job_id: str) -> None:
    """As if a job's runner had stood still for longer than its lease."""
    await admin.hset(f"ss:job:{job_id}", "lease_until", "1")
    if await admin.hget("ss:jobs:alone", "import") == job_id.encode():
        await admin.hset("ss:jobs:alone", "import:until", "1")


async def test_a_runner_that_stood_still_gives_way_to_the_one_that_runs(
    store: RedisStore, admin: Any
) -> None:
    jobs = RedisJobs(store.client, LONG)

    async def take(place: str) -> Job | None:
        return await jobs.claim([place], KINDS, alone=KINDS)

    for job_id, place in (("a", "here"), ("b", "there"), ("c", "elsewhere")):
        assert await jobs.submit(new(job_id, place=place))
    first = await take("here")
    assert first is not None
    await lapsed(admin, "a")
    second = await take("there")
    assert second is not None
    for late in (jobs.hold(first.lease), jobs.advance(first.lease, b"{}", 1, None)):
        with pytest.raises(LeaseLost):
            await late
    assert await take("here") is None
    assert await jobs.hold(second.lease) is False
    # Once nobody else runs, it goes on, and keeps the others off again.
    await jobs.finish(second.lease, "succeeded", b"{}")
    assert await jobs.hold(first.lease) is False
    assert await take("elsewhere") is None
    await jobs.advance(first.lease, b"{}", 1, None)
    await jobs.finish(first.lease, "succeeded", b"{}")
    assert await take("elsewhere") is not None


async def test_of_two_that_stood_still_the_first_that_goes_on_runs(
    store: RedisStore, admin: Any
) -> None:
    jobs = RedisJobs(store.client, LONG)
    for job_id, place in (("a", "here"), ("b", "there")):
        assert await jobs.submit(new(job_id, place=place))
    first = await jobs.claim(["here"], KINDS, alone=KINDS)
    await lapsed(admin, "a")
    second = await jobs.claim(["there"], KINDS, alone=KINDS)
    await lapsed(admin, "b")
    assert first is not None
    assert second is not None
    assert await jobs.hold(first.lease) is False
    with pytest.raises(LeaseLost):
        await jobs.hold(second.lease)
