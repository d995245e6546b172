"""Jobs in a real store: every operation in every state, leases, bounds, steps with writes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from service.errors import IdempotencyKeyReused
from service.store.jobs import ANYWHERE, FINISHED, Job, JobStep, Lease, LeaseLost, NewJob
from service.store.once import REMEMBERED_S, Once
from service.store.redis.jobs import JobLimits, RedisJobs
from service.store.redis.store import RedisStore
from tests.service.store.records import put, upsert

pytestmark = pytest.mark.anyio

LONG = JobLimits(lease_s=600, most_active=10, keep_s=600, given_up=b'{"code":"job_given_up"}')
STATES = ("queued", "running", "cancelling", "succeeded", "failed", "cancelled")
KINDS = ("import",)


def new(job_id: str, place: str = "here", **fields: Any) -> NewJob:
    return NewJob(job_id, "import", place, b'{"path":"x"}', **fields)


@pytest.fixture
def jobs(store: RedisStore) -> RedisJobs:
    return RedisJobs(store.client, LONG)


def limited(store: RedisStore, **limits: Any) -> RedisJobs:
    return RedisJobs(store.client, JobLimits(**{**vars(LONG), **limits}))


async def brought_to(jobs: RedisJobs, state: str, job_id: str = "a") -> Lease:
    """A job in a state, and the lease that it has or had."""
    assert await jobs.submit(new(job_id))
    if state == "queued":
        return Lease(job_id, 0)
    lease = await claimed(jobs)
    if state in FINISHED:
        await jobs.finish(lease, state, b'{"was":1}')  # pyright: ignore[reportArgumentType]
    elif state == "cancelling":
        await jobs.cancel(job_id)
    return lease


async def claimed(jobs: RedisJobs, place: str = "here") -> Lease:
    job = await jobs.claim([place], KINDS)
    assert job is not None
    return job.lease


async def state_of(jobs: RedisJobs, job_id: str = "a") -> str:
    job = await jobs.get(job_id)
    assert job is not None
    return "cancelling" if job.is_cancelling else job.state


async def test_a_job_is_stored_as_it_was_given(jobs: RedisJobs) -> None:
    assert await jobs.submit(new("a", total=7))
    job = await jobs.get("a")
    assert job is not None
    assert (job.kind, job.place, job.input, job.total) == ("import", "here", b'{"path":"x"}', 7)
    assert (job.state, job.done, job.attempts, job.checkpoint) == ("queued", 0, 0, b"")
    assert 0 < job.created_at == job.updated_at
    assert await jobs.get("b") is None


async def test_a_job_is_queued_once(jobs: RedisJobs) -> None:
    """The answer to a submission may be lost, and it comes again."""
    assert await jobs.submit(new("a"))
    await claimed(jobs)
    assert await jobs.submit(new("a"))
    assert await state_of(jobs) == "running"
    assert await jobs.claim(["here"], KINDS) is None


Operation = Callable[[RedisJobs, Lease], Awaitable[object]]
# After an operation in each of the states; None = refused, and nothing is changed.
TABLE: dict[str, tuple[Operation, tuple[str | None, ...]]] = {
    "claim": (
        lambda jobs, _: jobs.claim(["here"], KINDS),
        ("running", "running", "cancelling", "succeeded", "failed", "cancelled"),
    ),
    "cancel": (
        lambda jobs, lease: jobs.cancel(lease.job_id),
        ("cancelled", "cancelling", "cancelling", "succeeded", "failed", "cancelled"),
    ),
    "retry": (
        lambda jobs, lease: jobs.retry(lease.job_id),
        ("queued", "running", "cancelling", "succeeded", "queued", "queued"),
    ),
    "hold": (
        lambda jobs, lease: jobs.hold(lease),
        (None, "running", "cancelling", None, None, None),
    ),
    "advance": (
        lambda jobs, lease: jobs.advance(lease, b"{}", 5, 10),
        (None, "running", "cancelling", None, None, None),
    ),
    "release": (
        lambda jobs, lease: jobs.release(lease),
        (None, "queued", "cancelled", None, None, None),
    ),
    "succeed": (
        lambda jobs, lease: jobs.finish(lease, "succeeded", b"{}"),
        (None, "succeeded", "succeeded", None, None, None),
    ),
    "fail": (
        lambda jobs, lease: jobs.finish(lease, "failed", b"{}"),
        (None, "failed", "failed", None, None, None),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("operation", TABLE)
@pytest.mark.parametrize("state", STATES)
async def test_every_operation_in_every_state(jobs: RedisJobs, state: str, operation: str) -> None:
    lease = await brought_to(jobs, state)
    before = await jobs.get("a")
    call, then = TABLE[operation]
    expected = then[STATES.index(state)]
    if expected is None:
        with pytest.raises(LeaseLost):
            await call(jobs, lease)
        assert await jobs.get("a") == before
        return
    await call(jobs, lease)
    assert await state_of(jobs) == expected
    after = await jobs.get("a")
    assert after is not None
    assert before is not None
    assert (after.revision > before.revision) == (after != before)


@pytest.mark.parametrize("state", STATES)
async def test_a_finished_job_is_forgotten_and_no_other(jobs: RedisJobs, state: str) -> None:
    await brought_to(jobs, state)
    before = await jobs.get("a")
    await jobs.forget("a")
    is_gone = state in FINISHED
    assert await jobs.get("a") == (None if is_gone else before)
    assert [job.job_id for job in await jobs.page("", 10)] == ([] if is_gone else ["a"])
    await jobs.forget("a")  # once more changes nothing
    assert await jobs.known(["a"]) == [not is_gone]


async def test_a_signal_of_life_says_that_the_job_is_to_be_cancelled(jobs: RedisJobs) -> None:
    lease = await brought_to(jobs, "running")
    assert await jobs.hold(lease) is False
    await jobs.cancel("a")
    assert await jobs.hold(lease) is True


async def test_the_longest_waiting_job_comes_first(jobs: RedisJobs) -> None:
    for job_id in ("c", "a", "b"):
        assert await jobs.submit(new(job_id))
        await asyncio.sleep(0.002)  # the order within a millisecond is that of the ids
    assert [(await claimed(jobs)).job_id for _ in range(3)] == ["c", "a", "b"]


async def test_a_job_stays_where_its_files_are(jobs: RedisJobs) -> None:
    assert await jobs.submit(new("a", place="elsewhere"))
    assert await jobs.claim(["here"], KINDS) is None
    assert await jobs.claim(["elsewhere"], ["export"]) is None
    assert (await claimed(jobs, "elsewhere")).job_id == "a"


async def test_one_of_many_runners_gets_a_job(jobs: RedisJobs) -> None:
    assert await jobs.submit(new("a"))
    found = await asyncio.gather(*(jobs.claim(["here"], KINDS) for _ in range(20)))
    assert sum(job is not None for job in found) == 1


async def test_a_job_that_needs_no_place_runs_anywhere(jobs: RedisJobs) -> None:
    assert await jobs.submit(new("a", place=ANYWHERE))
    assert await jobs.claim(["here"], KINDS) is None
    job = await jobs.claim(["there", ANYWHERE], KINDS)
    assert job is not None


async def test_the_same_request_queues_one_job(jobs: RedisJobs, admin: Any) -> None:
    once, other = Once("key", "fingerprint"), Once("key", "of another request")
    assert await jobs.queued_by(once) is None
    ids = await asyncio.gather(
        *(jobs.submit(replace(new(f"job-{i}"), once=once)) for i in range(10))
    )
    assert len(set(ids)) == 1
    assert len(await jobs.page("", 20)) == 1
    with pytest.raises(IdempotencyKeyReused):
        await jobs.submit(replace(new("other"), once=other))
    with pytest.raises(IdempotencyKeyReused):
        await jobs.queued_by(other)
    assert 0 < await admin.pttl("ss:jobs:once:key") <= REMEMBERED_S * 1000
    await jobs.finish(await claimed(jobs), "failed", b"{}")
    assert await jobs.submit(replace(new("later"), once=once)) == ids[0]
    found = await jobs.queued_by(once)
    assert found is not None
    assert found.job_id == ids[0]


async def test_a_request_whose_job_is_not_kept_any_more_queues_another(
    jobs: RedisJobs, admin: Any
) -> None:
    once = Once("key", "fingerprint")
    assert await jobs.submit(replace(new("first"), once=once)) == "first"
    await jobs.finish(await claimed(jobs), "succeeded", b"{}")
    assert await jobs.submit(replace(new("second"), once=once)) == "first"
    await admin.delete("ss:job:first")  # as when its time is over
    other = Once("key", "of another request")
    with pytest.raises(IdempotencyKeyReused):
        await jobs.submit(replace(new("other"), once=other))
    assert await jobs.submit(replace(new("third"), once=once)) == "third"
    assert await jobs.submit(replace(new("fourth"), once=once)) == "third"


async def claimed_later(jobs: RedisJobs) -> Job:
    """The job, once the lease before is over."""
    async with asyncio.timeout(60):
        while (job := await jobs.claim(["here"], KINDS)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return job


async def test_a_lease_that_is_over_is_taken_and_the_one_before_is_worth_nothing(
    store: RedisStore, jobs: RedisJobs
) -> None:
    short = limited(store, lease_s=0.05)
    old = await brought_to(short, "running")
    await short.advance(old, b'{"at":3}', 3, 10)
    new_lease = (job := await claimed_later(short)).lease
    assert new_lease.token > old.token
    assert (job.checkpoint, job.done, job.began_done, job.attempts) == (b'{"at":3}', 3, 3, 2)
    for operation in ("hold", "advance", "release", "succeed", "fail"):
        with pytest.raises(LeaseLost):
            await TABLE[operation][0](jobs, old)
    assert await jobs.get("a") == job
    await jobs.finish(new_lease, "succeeded", b"{}")


async def test_a_job_of_a_dead_runner_can_be_cancelled(store: RedisStore) -> None:
    short = limited(store, lease_s=0.01)
    await brought_to(short, "running")
    async with asyncio.timeout(60):
        while await state_of(short) != "cancelled":
            await short.cancel("a")


async def test_finished_jobs_are_kept_for_a_while(store: RedisStore, admin: Any) -> None:
    jobs = limited(store, keep_s=0.01)
    await brought_to(jobs, "succeeded")
    async with asyncio.timeout(60):
        while await jobs.get("a") is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await jobs.page("", 10) == []
    assert await admin.zcard("ss:jobs") == 1
    await jobs.sweep()
    assert [await admin.zcard(key) for key in ("ss:jobs", "ss:jobs:finished")] == [0, 0]
    assert await jobs.cancel("a") is None
    assert await jobs.retry("a") is None


async def test_a_retried_job_is_kept_and_goes_on_unless_it_begins_anew(jobs: RedisJobs) -> None:
    for restart, expected in ((False, (3, b'{"at":3}', 10)), (True, (0, b"", None))):
        job_id = f"restart-{restart}"
        lease = await brought_to(jobs, "running", job_id)
        await jobs.advance(lease, b'{"at":3}', 3, 10)
        await jobs.finish(lease, "failed", b'{"code":"x"}', restart=restart)
        before, job = await jobs.get(job_id), await jobs.retry(job_id)
        assert before is not None
        assert job is not None
        assert (before.is_retried, job.is_retried) == (False, True)
        assert (job.done, job.checkpoint, job.total) == expected
        assert job.error == b""
        await claimed(jobs)


async def test_a_job_is_retried_with_another_input(jobs: RedisJobs) -> None:
    await brought_to(jobs, "cancelled")
    retried = [await jobs.retry("a", b'{"path":"y"}')]
    await jobs.cancel("a")
    retried.append(await jobs.retry("a"))
    retried.append(await jobs.retry("a", b'{"path":"z"}'))  # it is queued
    assert [job and job.input for job in retried] == [b'{"path":"y"}'] * 3


async def test_jobs_are_listed_newest_first_in_pages(jobs: RedisJobs) -> None:
    for i in range(5):
        assert await jobs.submit(new(f"job-{i}"))
    page = await jobs.page("", 2)
    assert [job.job_id for job in page] == ["job-4", "job-3"]
    assert [await jobs.get("job-4"), await jobs.get("job-3")] != page  # whose inputs are left out
    assert {(job.input, job.checkpoint, job.state) for job in page} == {(b"", b"", "queued")}
    assert [job.job_id for job in await jobs.page("job-3", 9)] == ["job-2", "job-1", "job-0"]
    assert await jobs.known(["job-1", "job-9"]) == [True, False]


async def test_inputs_of_a_kind_come_in_parts(
    jobs: RedisJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.store.redis.jobs._READ_AT_ONCE", 2)
    for i in range(5):
        kind = "export" if i == 1 else "import"
        assert await jobs.submit(NewJob(f"job-{i}", kind, "here", b"%d" % i))
    parts = [dict(part) async for part in jobs.asked("import")]
    assert parts == [{"job-0": b"0"}, {"job-2": b"2", "job-3": b"3"}, {"job-4": b"4"}]


# Steps: progress together with a write of streamers


async def test_a_write_and_progress_are_one_step(store: RedisStore, jobs: RedisJobs) -> None:
    last = await put(store, "known")
    lease = await brought_to(jobs, "running")
    step = JobStep(lease, b'{"at":2}', 0, 2)
    await store.write([upsert("new", "x"), upsert("known", "y")], step=step)
    job = await jobs.get("a")
    assert job is not None
    assert (job.done, job.checkpoint, job.created, job.updated) == (2, b'{"at":2}', 1, 1)
    assert job.sequence == last + 2 == (await store.position()).sequence


async def test_a_step_happens_once(store: RedisStore, jobs: RedisJobs) -> None:
    lease = await brought_to(jobs, "running")
    step = JobStep(lease, b'{"at":2}', 0, 2)
    await store.write([upsert("s", "x")], step=step)
    with pytest.raises(LeaseLost):
        await store.write([upsert("s", "x")], step=step)
    assert (await store.position()).sequence == 1
    job = await jobs.get("a")
    assert job is not None
    assert (job.created, job.updated) == (1, 0)


@pytest.mark.parametrize("state", [s for s in STATES if s not in ("running", "cancelling")])
async def test_a_step_needs_the_lease(store: RedisStore, jobs: RedisJobs, state: str) -> None:
    lease = await brought_to(jobs, state)
    with pytest.raises(LeaseLost):
        await store.write([upsert("s")], step=JobStep(lease, b"{}", 0, 1))
    assert await store.count() == 0


async def test_a_step_needs_the_newest_lease(store: RedisStore) -> None:
    short = limited(store, lease_s=0.01)
    old = await brought_to(short, "running")
    await claimed_later(short)
    with pytest.raises(LeaseLost):
        await store.write([upsert("s")], step=JobStep(old, b"{}", 0, 1))
    assert await store.count() == 0


async def test_queued_and_running_jobs_are_counted_by_kind(jobs: RedisJobs) -> None:
    assert await jobs.active() == {}
    await brought_to(jobs, "running", "a")
    await brought_to(jobs, "queued", "b")
    await jobs.submit(NewJob("c", "export", "here", b"{}"))
    await jobs.submit(NewJob("d", "export", "here", b"{}"))
    await jobs.cancel("d")
    assert await jobs.active() == {
        ("import", "running"): 1,
        ("import", "queued"): 1,
        ("export", "queued"): 1,
    }
