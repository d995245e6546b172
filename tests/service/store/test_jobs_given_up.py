"""Jobs whose runners die at one place again and again are given up."""

import asyncio
from typing import Any

import pytest

from service.store.redis.store import RedisStore
from tests.service.store.test_jobs import (
    KINDS,
    LONG,
    brought_to,
    claimed_later,
    limited,
    state_of,
)

pytestmark = pytest.mark.anyio


async def test_a_job_without_progress_whose_runners_die_is_given_up(store: RedisStore) -> None:
    short = limited(store, lease_s=0.01, most_crashes=3)
    await brought_to(short, "running")
    await claimed_later(short)
    lease = (await claimed_later(short)).lease
    await short.advance(lease, b"{}", 1, None)  # progress: it is counted anew
    for _ in range(2):
        await claimed_later(short)
    async with asyncio.timeout(60):
        while await state_of(short) == "running":
            assert await short.claim(["here"], KINDS) is None
    job = await short.get("a")
    assert job is not None
    assert (job.state, job.error) == ("failed", LONG.given_up)


async def test_what_is_done_again_is_no_progress(store: RedisStore) -> None:
    """A job without checkpoints begins anew, and its runner dies at the same place each time."""
    short = limited(store, lease_s=0.01, most_crashes=3)
    lease = await brought_to(short, "running")
    async with asyncio.timeout(60):
        while await state_of(short) == "running":
            for done in (1, 2):
                await short.advance(lease, b"{}", done, 10)
            while await state_of(short) == "running":
                job = await short.claim(["here"], KINDS)
                if job is not None and job.state == "running":
                    lease = job.lease
                    break
    job = await short.get("a")
    assert job is not None
    assert (job.state, job.attempts, job.done) == ("failed", 3, 2)


async def test_who_gets_farther_than_the_one_before_makes_progress(
    store: RedisStore, admin: Any
) -> None:
    short = limited(store, lease_s=0.01)
    await short.advance(await brought_to(short, "running"), b"{}", 2, 10)
    lease = (await claimed_later(short)).lease
    crashes: list[bytes | None] = []
    for checkpoint, done in ((b"{}", 1), (b"{}", 2), (b"{}", 3)):
        await short.advance(lease, checkpoint, done, 10)
        crashes.append(await admin.hget("ss:job:a", "crashes"))
    lease = (await claimed_later(short)).lease
    await short.advance(lease, b'{"at":1}', 1, 10)
    crashes.append(await admin.hget("ss:job:a", "crashes"))
    assert crashes == [b"1", b"1", b"0", b"0"]
