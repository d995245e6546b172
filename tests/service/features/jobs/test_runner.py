"""Runners on one real store: one runs a job, another takes it over, and how jobs end."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import pytest

from service.errors import InputChanged, StoreFull, StoreUnavailable
from service.features.jobs import runner
from service.features.jobs.counts import JobCounts
from service.features.jobs.runner import JobRunner, Kind, RunningJob
from service.store.jobs import Job, JobStore, Lease, LeaseLost, NewJob, Settled
from service.store.redis.jobs import JobLimits, RedisJobs
from service.store.redis.store import RedisStore
from tests.service.store.records import until

pytestmark = pytest.mark.anyio

POLL_S = 0.01


class Work(Kind):
    """A kind whose jobs count to `total`, a step whenever the test lets them.

    `begun` has the tokens of the leases that it worked under, `tidied` how jobs ended.
    """

    def __init__(self, total: int = 3, error: Exception | None = None) -> None:
        self.total = total
        self.error = error
        self.steps = asyncio.Semaphore(0)
        self.begun: list[int] = []
        self.at: list[int] = []
        self.tidied: list[str] = []
        self.swept = asyncio.Event()
        self.lost = 0

    async def run(self, job: RunningJob) -> Mapping[str, Any]:
        self.begun.append(job.job.token)
        at = job.checkpoint.get("at", 0)
        while at < self.total:
            await self.steps.acquire()
            if self.error is not None:
                raise self.error
            at += 1
            try:
                await job.advance({"at": at}, at, self.total)
            except LeaseLost:
                self.lost += 1
                raise
            self.at.append(at)
        return {"counted": at}

    async def tidy(self, job: Job, state: Settled) -> None:
        self.tidied.append(state)

    async def sweep(self, store: JobStore) -> None:
        self.swept.set()

    def let(self, steps: int) -> None:
        for _ in range(steps):
            self.steps.release()


Start = Callable[..., JobRunner]


@pytest.fixture
async def start(store: RedisStore) -> AsyncIterator[Start]:
    """Starts runners, which end with the test."""
    async with AsyncExitStack() as running:

        def begin(work: Work, jobs: JobStore, *, lease_s: float = 600, **more: Any) -> Any:
            started = JobRunner(
                jobs, {"count": work}, ["here"], at_once=1, lease_s=lease_s, poll_s=POLL_S, **more
            )
            started.start()
            running.push_async_callback(started.stop)
            return started

        yield begin


def jobs_of(store: RedisStore, lease_s: float = 600) -> RedisJobs:
    return RedisJobs(store.client, JobLimits(lease_s, 10, 600, b"{}"))


async def submitted(jobs: RedisJobs) -> str:
    assert await jobs.submit(NewJob("a", "count", "here", b"{}"))
    return "a"


async def ended(jobs: RedisJobs, job_id: str = "a") -> Job:
    """The job, once it is finished."""
    return await when(jobs, lambda job: job.state in ("succeeded", "failed", "cancelled"), job_id)


async def when(jobs: RedisJobs, condition: Callable[[Job], bool], job_id: str = "a") -> Job:
    async with asyncio.timeout(60):
        while True:
            job = await jobs.get(job_id)
            assert job is not None
            if condition(job):
                return job
            await asyncio.sleep(0.005)


async def test_a_job_is_run(store: RedisStore, start: Start) -> None:
    jobs, work = jobs_of(store), Work()
    start(work, jobs)
    await submitted(jobs)
    work.let(3)
    job = await ended(jobs)
    assert (job.state, json.loads(job.result)) == ("succeeded", {"counted": 3})
    assert (job.done, job.total, job.attempts) == (3, 3, 1)
    await until(lambda: work.tidied == ["succeeded"])


async def test_a_runner_sweeps_when_it_starts(store: RedisStore, start: Start) -> None:
    work = Work()
    start(work, jobs_of(store))
    async with asyncio.timeout(60):
        await work.swept.wait()


async def test_two_runners_run_a_job_once(store: RedisStore, start: Start) -> None:
    jobs, works = jobs_of(store), [Work(), Work()]
    for work in works:
        start(work, jobs)
        work.let(3)
    await submitted(jobs)
    assert (await ended(jobs)).state == "succeeded"
    assert sorted(len(work.begun) for work in works) == [0, 1]


async def test_a_runner_that_stands_still_is_replaced_and_does_no_harm(
    store: RedisStore, start: Start
) -> None:
    """Its process was stopped, say: no sign of life is sent, and then it goes on."""
    jobs = jobs_of(store, lease_s=2)
    asleep, awake = Work(total=4), Work(total=4)
    sleeper = start(asleep, jobs, lease_s=1e9)
    await submitted(jobs)
    asleep.let(2)
    await when(jobs, lambda job: job.done == 2)
    start(awake, jobs_of(store))
    await until(lambda: awake.begun != [])
    asleep.let(1)
    await until(lambda: asleep.lost == 1)
    await sleeper.stop()  # or it would take the job again, were the other one late in its turn
    awake.let(2)
    job = await ended(jobs)
    assert (job.state, job.attempts, job.done) == ("succeeded", 2, 4)
    assert asleep.at + awake.at == [1, 2, 3, 4]
    assert asleep.tidied == []


class Signs(RedisJobs):
    """A store that notes signs of life, and for how long there was none at most."""

    def __init__(self, store: RedisStore, lease_s: float) -> None:
        super().__init__(store.client, JobLimits(lease_s, 10, 600, b"{}"))
        self.seen = 0
        self.longest_s = 0.0
        self._last = time.monotonic()

    async def hold(self, lease: Lease) -> bool:
        began = time.monotonic()
        is_to_end = await super().hold(lease)
        self.seen += 1
        self.longest_s = max(self.longest_s, time.monotonic() - self._last)
        self._last = began
        return is_to_end

    async def finish(self, *arguments: Any, **more: Any) -> None:
        await super().finish(*arguments, **more)
        self.longest_s = max(self.longest_s, time.monotonic() - self._last)


async def test_signs_of_life_keep_a_job(store: RedisStore, start: Start) -> None:
    lease_s = 0.3
    jobs, work, other = Signs(store, lease_s), Work(), Work()
    start(work, jobs, lease_s=lease_s)
    await submitted(jobs)
    await until(lambda: work.begun != [])
    start(other, jobs, lease_s=lease_s)
    await until(lambda: jobs.seen >= 7)  # more than two leases
    for each in (work, other):
        each.let(30)
    job = await ended(jobs)
    assert job.state == "succeeded"
    if jobs.longest_s < lease_s:  # where it was longer, the other one took it over rightly
        assert (job.attempts, other.begun) == (1, [])


async def test_a_runner_that_is_stopped_queues_its_job_again(
    store: RedisStore, start: Start
) -> None:
    jobs, first, second = jobs_of(store), Work(), Work()
    stopped = start(first, jobs)
    await submitted(jobs)
    first.let(1)
    await until(lambda: first.at == [1])  # it is stored before the runner hears so
    await stopped.stop()
    job = await jobs.get("a")
    assert job is not None
    assert (job.state, job.checkpoint) == ("queued", b'{"at": 1}')
    start(second, jobs)
    second.let(2)
    assert (await ended(jobs)).state == "succeeded"
    assert first.at + second.at == [1, 2, 3]


async def test_a_running_job_is_cancelled(store: RedisStore, start: Start) -> None:
    jobs, work = jobs_of(store), Work()
    start(work, jobs, lease_s=0.05)
    await submitted(jobs)
    work.let(1)
    await when(jobs, lambda job: job.done == 1)
    await jobs.cancel("a")
    job = await ended(jobs)
    assert (job.state, job.done, job.is_cancelling) == ("cancelled", 1, False)
    await until(lambda: work.tidied == ["cancelled"])
    await jobs.retry("a")
    work.let(2)
    job = await ended(jobs)
    assert (job.state, work.at) == ("succeeded", [1, 2, 3])


@pytest.mark.parametrize(
    ("error", "code", "begins_anew"),
    [
        (StoreFull("the disk is full"), "store_full", False),
        (InputChanged("it changed"), "input_changed", True),
        (ZeroDivisionError(), "internal", False),
    ],
    ids=["known", "input", "unexpected"],
)
async def test_a_job_fails_with_its_error(
    store: RedisStore, start: Start, error: Exception, code: str, begins_anew: bool
) -> None:
    jobs, work = jobs_of(store), Work()
    start(work, jobs)
    await submitted(jobs)
    work.let(1)
    await when(jobs, lambda job: job.done == 1)
    work.error = error
    work.let(1)
    job = await ended(jobs)
    assert (job.state, json.loads(job.error)["code"]) == ("failed", code)
    work.error = None
    await jobs.retry("a")
    work.let(3)
    assert (await ended(jobs)).state == "succeeded"
    assert work.at == [1, *([1, 2, 3] if begins_anew else [2, 3])]


async def test_a_store_that_was_silent_for_long_fails_no_job(
    store: RedisStore, start: Start
) -> None:
    jobs, work = jobs_of(store, lease_s=0.05), Work()
    start(work, jobs, lease_s=0.05)
    await submitted(jobs)
    work.let(1)
    await when(jobs, lambda job: job.done == 1)
    work.error = StoreUnavailable("it did not answer for a minute")
    work.let(1)
    await until(lambda: len(work.begun) == 2)
    work.error = None
    work.let(2)
    job = await ended(jobs)
    assert (job.state, job.attempts, work.at) == ("succeeded", 2, [1, 2, 3])
    await until(lambda: work.tidied == ["succeeded"])


async def test_a_job_that_never_gets_an_answer_of_the_store_is_given_up(
    store: RedisStore, start: Start
) -> None:
    jobs, work = jobs_of(store, lease_s=0.01), Work(error=StoreUnavailable("a file is damaged"))
    counts = JobCounts()
    start(work, jobs, lease_s=0.01, counts=counts)
    await submitted(jobs)
    work.let(10)
    job = await ended(jobs)
    assert (job.state, job.error, job.attempts) == ("failed", b"{}", 5)
    await until(lambda: attempts(counts) == {"given_back": 5, "failed": 1})  # an alert sees it


def attempts(counts: JobCounts) -> dict[str, float]:
    """Attempts by how they ended."""
    samples = [sample for family in counts.collect() for sample in family.samples]
    return {s.labels["state"]: s.value for s in samples if s.name == "streamer_job_seconds_count"}


class Flaky(RedisJobs):
    """A store that does what it is told and loses the answer, once for each operation."""

    lost: set[str]

    async def _change(self, operation: str, job_id: str, *arguments: Any, once: str = "") -> Any:
        done = await super()._change(operation, job_id, *arguments, once=once)
        if operation not in self.lost:
            self.lost.add(operation)
            raise StoreUnavailable("the answer was lost")
        return done


async def test_lost_answers_of_the_store_are_got_over(
    store: RedisStore, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_PAUSES_S", (0.01,) * 6)
    jobs = Flaky(store.client, JobLimits(0.5, 10, 600, b"{}"))
    jobs.lost = {"submit"}
    work = Work()
    start(work, jobs, lease_s=0.5)
    await submitted(jobs)
    work.let(30)
    job = await ended(jobs)
    assert (job.state, job.done) == ("succeeded", 3)
    await until(lambda: "finish" in jobs.lost)  # it is stored before its answer is lost
    assert jobs.lost >= {"submit", "claim", "advance", "finish"}
    assert work.at in ([1, 2, 3], [2, 3])  # the first answer was lost, and the step was made
    await until(lambda: work.tidied == ["succeeded"])  # by the runner that finished it


async def test_a_call_is_made_again_for_as_long_as_others_have_priority(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "_PAUSES_S", (0.0, 0.0))
    errors: list[Exception] = [runner.Overloaded("busy")] * 20

    async def call() -> int:
        if errors:
            raise errors.pop()
        return 7

    assert await runner.persist(call) == 7
    errors = [StoreUnavailable("gone")] * 20
    failing: Callable[[], Awaitable[int]] = call
    with pytest.raises(StoreUnavailable):
        await runner.persist(failing)
    assert len(errors) == 17
