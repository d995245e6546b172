"""Runs jobs in this process: takes one, keeps its lease, and records how it ended.

Several processes on one store each have a runner. A lease and its token decide whose a job is, so
it does no harm if two believe that they have one: whatever the older one writes is refused. A
runner that is stopped in order queues its jobs again; one that is killed, or finds the store silent
for long, leaves them, and another one, or the next process, takes them over when the lease is over.
Both continue at the checkpoint.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Protocol, TypeVar

from service.errors import InputChanged, Overloaded, ServiceError, StoreUnavailable, Unavailable
from service.features.jobs.counts import JobCounts
from service.http.documents import problem_of
from service.logs.repeats import Repeats
from service.scopes import Scope
from service.store.jobs import ANYWHERE, Job, JobStep, JobStore, LeaseLost, Settled
from service.telemetry.spans import Parent, Tracer, within

_log = logging.getLogger(__name__)
Result = TypeVar("Result")
POLL_S = 1.0
"""How often a runner without work looks for some that it was not told of."""
SWEEP_S = 600.0
_COUNT_S = 5.0
_PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
"""Before what is unavailable is tried again."""
_UNEXPECTED = "an unexpected error; the log of the process that ran the job has the cause"


class RunningJob:
    """A job under a lease, as the work of its kind sees it.

    Attributes:
        job: as it was when the lease began.
        input: what was asked for.
        checkpoint: where to continue; empty at the beginning.
    """

    def __init__(self, store: JobStore, job: Job) -> None:
        """Work on `job`."""
        self._store = store
        self.job = job
        self.input: dict[str, Any] = json.loads(job.input)
        self.checkpoint: dict[str, Any] = json.loads(job.checkpoint or b"{}")

    async def advance(
        self, checkpoint: Mapping[str, Any], done: int, total: int | None = None
    ) -> None:
        """Record progress.

        Raises:
            LeaseLost: somebody else runs the job.
        """
        written = json.dumps(checkpoint).encode()
        await persist(lambda: self._store.advance(self.job.lease, written, done, total))

    async def advance_with(
        self,
        write: Callable[[JobStep], Awaitable[object]],
        checkpoint: Mapping[str, Any],
        after: int,
        done: int,
    ) -> None:
        """Write streamers and record progress in one step, which happens once.

        A write whose answer was lost is sent again. If it was carried out the first time, the store
        refuses it, and the job has got so far already.

        Args:
            write: writes them with the step.
            checkpoint: where to continue.
            after: what was done before.
            done: what is done then, more than before.

        Raises:
            LeaseLost: somebody else runs the job.
            Unavailable: nothing can be written.
        """
        step = JobStep(self.job.lease, json.dumps(checkpoint).encode(), after, done)
        try:
            await persist(lambda: write(step))
        except LeaseLost:
            now = await self.now()
            if now.state != "running" or now.lease != self.job.lease or now.done != done:
                raise

    async def now(self) -> Job:
        """The job as it is stored now, with what its writes created and updated.

        Raises:
            LeaseLost: it is not stored any more.
        """
        job = await persist(lambda: self._store.get(self.job.job_id))
        if job is None:
            raise LeaseLost(f"job {self.job.job_id} is gone")
        return job


class Kind(Protocol):
    """What jobs of one kind do; a class that names this as its base has what it does not need.

    Attributes:
        is_alone: whether only one job of the kind runs at a time, over all replicas.
        scope: that a caller must have, beside that of the route, to cancel or retry one.
        hides_result: whether only who has that scope is shown what one came to.
    """

    is_alone: bool = False
    scope: Scope = "streamers:write"
    hides_result: bool = False

    async def run(self, job: RunningJob) -> Mapping[str, Any]:
        """Do it, from the checkpoint on; the result, for JSON.

        Raises:
            LeaseLost: somebody else runs the job.
            ServiceError: why it failed.
        """
        ...

    async def tidy(self, job: Job, state: Settled) -> None:
        """Remove files that a finished job does not need any more."""

    async def sweep(self, store: JobStore) -> None:
        """Remove what jobs of the kind left behind, now and then."""


async def persist(call: Callable[[], Awaitable[Result]]) -> Result:
    """Make a call until it does not meet a passing trouble.

    Where others have priority it is made again for as long as that takes.

    Raises:
        Unavailable: the trouble did not pass in about 40 s.
    """
    tries = 0
    while True:
        try:
            return await call()
        except Unavailable as error:
            if tries >= len(_PAUSES_S) and not isinstance(error, Overloaded):
                raise
            await asyncio.sleep(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
            tries += 1


class JobRunner:
    """Runs as many jobs at once as it is told to."""

    def __init__(
        self,
        store: JobStore,
        kinds: Mapping[str, Kind],
        places: Collection[str],
        *,
        at_once: int,
        lease_s: float,
        poll_s: float = POLL_S,
        counts: JobCounts | None = None,
        tracer: Tracer | None = None,
        places_now: Callable[[], Collection[str]] = tuple,
    ) -> None:
        """Run nothing before `start`.

        Args:
            store: of the jobs.
            kinds: what to do, by the name of the kind.
            places: that this process has; jobs that need another one are left alone.
            at_once: jobs under way; 0 = none.
            lease_s: as the store has it; a third of it is between two signs of life.
            poll_s: seconds between two looks for jobs that nobody told of.
            counts: told what becomes of jobs.
            tracer: begins a trace for each attempt at a job; None: there are none.
            places_now: places that this process has at the moment, besides.
        """
        self._store = store
        self._kinds = kinds
        self._places = {*places, ANYWHERE}
        self._places_now = places_now
        self._alone = [name for name, kind in kinds.items() if kind.is_alone]
        self._at_once = at_once
        self._renew_s = lease_s / 3
        self._poll_s = poll_s
        self._repeats = Repeats()
        self._counts = counts or JobCounts()
        self._counts.know(kinds)
        self._tracer = tracer
        self._queued = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._tasks = [
            asyncio.create_task(self._work(), name=f"jobs-{i}") for i in range(self._at_once)
        ]
        self._tasks.append(asyncio.create_task(self._sweep(), name="jobs-sweep"))
        self._tasks.append(asyncio.create_task(self._count(), name="jobs-count"))

    async def stop(self) -> None:
        """Queue the jobs under way again, at their checkpoints, and end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def wake(self) -> None:
        """A job was queued."""
        self._queued.set()

    async def _work(self) -> None:
        while True:
            self._queued.clear()
            try:
                places = {*self._places, *self._places_now()}
                job = await self._store.claim(places, self._kinds, self._alone)
            except ServiceError as error:
                if self._repeats.is_new("taken", error.detail):
                    _log.warning("no job can be taken at the moment: %s", error.detail)
                job = None
            except Exception as error:  # noqa: BLE001 - the next look may work
                if self._repeats.is_new("taken", error):
                    _log.exception("no job can be taken")
                job = None
            if job is not None and job.state == "failed":
                _log.error("job %s (%s) is given up", job.job_id, job.kind)
                self._counts.gave_up(job)
                continue
            if job is not None:
                await self._run(job)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_s):
                    await self._queued.wait()

    async def _run(self, job: Job) -> None:
        """Run a job to its end, or until it is somebody else's or to be cancelled."""
        _log.info("job %s (%s): attempt %d", job.job_id, job.kind, job.attempts)
        kind = self._kinds[job.kind]
        attempt = self._counts.begin(job)
        span = None
        if self._tracer is not None:
            about = {"streamer.job.id": job.job_id, "streamer.job.attempt": job.attempts}
            asked = Parent.of(job.traceparent)
            span = self._tracer.begin(f"job {job.kind}", about, kind="internal", link=asked)
        with within(span):
            working = asyncio.create_task(kind.run(RunningJob(self._store, job)))
        holding = asyncio.create_task(self._hold(job))
        try:
            await asyncio.wait({working, holding}, return_when=asyncio.FIRST_COMPLETED)
            is_cancelled = not working.done() and holding.result()
            if not working.done():
                await _end(working)
            if not is_cancelled and _met_a_silent_store(working):
                _log.warning("job %s is left: %s", job.job_id, working.exception())
            else:
                attempt.end(await self._settle(job, working, is_cancelled=is_cancelled))
        except asyncio.CancelledError:  # the process stops
            await _end(working)
            with contextlib.suppress(LeaseLost, ServiceError):
                await self._store.release(job.lease)
            raise
        except LeaseLost:
            _log.warning("job %s is run by another process now", job.job_id)
        except Exception:  # noqa: BLE001 - its lease ends, and it is taken again
            _log.exception("how job %s ended can't be recorded", job.job_id)
        finally:
            await _end(working)
            await _end(holding)
            attempt.end("given_back")  # unless it has ended
            if span is not None:
                span.tell({"streamer.job.state": attempt.state})
                span.end(error="failed" if attempt.state == "failed" else None)

    async def _hold(self, job: Job) -> bool:
        """Renew the lease until the job is to be cancelled, True, or is somebody else's, False.

        While the store is silent nothing is given up: nobody else can take the job meanwhile.
        """
        while True:
            await asyncio.sleep(self._renew_s)
            try:
                if await self._store.hold(job.lease):
                    return True
            except LeaseLost:
                return False
            except ServiceError as error:
                _log.warning("the lease of job %s: %s", job.job_id, error.detail)

    async def _settle(
        self, job: Job, working: "asyncio.Task[Mapping[str, Any]]", *, is_cancelled: bool
    ) -> Settled:
        """Record how a job ended.

        Raises:
            LeaseLost: it is somebody else's.
        """
        state: Settled = "succeeded"
        outcome: Mapping[str, Any] = {}
        restart = False
        if is_cancelled:
            state = "cancelled"
        elif working.cancelled():
            raise LeaseLost
        elif (error := working.exception()) is None:
            outcome = working.result()
        elif isinstance(error, LeaseLost):
            raise error
        else:
            state, restart = "failed", isinstance(error, InputChanged)
            if not isinstance(error, ServiceError):
                _log.error("job %s failed", job.job_id, exc_info=error)
                error = ServiceError(_UNEXPECTED)
            outcome = problem_of(error)
        written = json.dumps(outcome, ensure_ascii=False).encode()
        try:
            await persist(lambda: self._store.finish(job.lease, state, written, restart=restart))
        except LeaseLost:
            now = await persist(lambda: self._store.get(job.job_id))
            if now is None or (now.lease, now.state) != (job.lease, state):
                raise  # else it was finished, and the answer was lost
        _log.info("job %s (%s): %s", job.job_id, job.kind, state)
        await self._kinds[job.kind].tidy(job, state)
        return state

    async def _count(self) -> None:
        """Count queued and running jobs, now and then; while the store is silent none is known."""
        while True:
            try:
                self._counts.active = await self._store.active()
            except ServiceError:
                self._counts.active = None
            except Exception as error:  # noqa: BLE001 - the next one may work
                if self._repeats.is_new("counted", error):
                    _log.exception("jobs can't be counted")
                self._counts.active = None
            await asyncio.sleep(_COUNT_S)

    async def _sweep(self) -> None:
        """Forget what is not kept any more, now and then."""
        while True:
            try:
                await self._store.sweep()
                for kind in self._kinds.values():
                    await kind.sweep(self._store)
            except ServiceError as error:
                _log.warning("old jobs can't be swept at the moment: %s", error.detail)
            except Exception:  # noqa: BLE001 - the next one may work
                _log.exception("old jobs can't be swept")
            await asyncio.sleep(SWEEP_S)


def _met_a_silent_store(working: "asyncio.Task[Any]") -> bool:
    """Whether the store's outage ended the work: it goes on, unless that happens too often."""
    return not working.cancelled() and isinstance(working.exception(), StoreUnavailable)


async def _end(task: "asyncio.Task[Any]") -> None:
    """Cancel a task and wait until it is over; what it came to is not looked at."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()
