"""Jobs whose runners die at one place again and again are given up."""

from typing import Any

import pytest

from service.store.redis.store import RedisStore
from tests.service.store.test_jobs import (
    KINDS,
    LONG,
    brought_to,
    claimed_later,
    limited,
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
    given_up = await claimed_later(short)  # which tells whoever gave it up
    assert given_up == await short.get("a")
    assert (given_up.state, given_up.error) == ("failed", LONG.given_up)
    assert await short.claim(["here"], KINDS) is None


async def test_what_is_done_again_is_no_progress(store: RedisStore) -> None:
    """A job without checkpoints begins anew, and its runner dies at the same place each time."""
    short = limited(store, lease_s=0.01, most_crashes=3)
    lease, states = await brought_to(short, "running"), list[str]()
    for _ in range(3):
        for done in (1, 2):
            await short.advance(lease, b"{}", done, 10)
        job = await claimed_later(short)
        lease = job.lease
        states.append(job.state)
    assert states == ["running", "running", "failed"]


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
