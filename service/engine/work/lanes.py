"""The one door for work off the event loop: bounded, by priority, with deadlines.

Threads take the most urgent work that waits. One of them is left to interactive work, so that it
never waits for bulk work to end. A slow lane that had no turn for `_PATIENCE_S` gets the next of
the others, so that none starves.
"""

import asyncio
import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from enum import IntEnum
from functools import partial
from typing import Any, Generic, TypeVar, cast

from service.engine.work.batch_spans import BatchSpans
from service.engine.work.give_way import GiveWay
from service.engine.work.lane_counts import LaneCounts
from service.engine.work.tickets import Failed, Job, Ticket
from service.errors import Overloaded
from service.settings import Work
from service.telemetry.spans import current_span
from service.telemetry.stages import Stage, StageTimes

Item = TypeVar("Item")
Result = TypeVar("Result")

SLICE_S = 0.02
"""How long heavy and bulk work keeps a thread at a time."""
_BESIDE_S = 0.015
"""Bulk work that waited so long begins beside an interactive batch. Before, it lets that end: side
by side both take twice as long, and it would be no sooner done."""
_PATIENCE_S = 0.25
_LATEST = 0.2
"""Weight of the latest batch in the smoothed cost of an item."""


class Lane(IntEnum):
    """Kinds of work, the most urgent first."""

    INTERACTIVE = 0
    HEAVY = 1
    BULK = 2


class Queue(Generic[Item, Result]):
    """Items of one kind that wait for a thread, and the function that answers batches of them.

    Attributes:
        lane: how urgent they are.
        what: they are, in the plural, for those who are refused.
        stage: of work, for those who measure.
        cost_s: seconds of a thread that one item takes, smoothed.
        jobs: those that wait.
        running: batches under way.
        at_once: batches that may be.
    """

    def __init__(
        self,
        lanes: "Lanes",
        run: Callable[[Sequence[Item]], Sequence[Result]],
        lane: Lane,
        what: str,
        stage: Stage,
        max_batch: int,
        at_once: int,
    ) -> None:
        """Made by `Lanes.queue`, which explains the arguments."""
        self.lane = lane
        self.what = what
        self.stage: Stage = stage
        self.cost_s = 0.0
        self.jobs: deque[Job] = deque()
        self.running = 0
        self.at_once = at_once
        self._lanes = lanes
        self._run = run
        self._max_batch = max_batch

    async def submit(self, item: Item) -> Result:
        """The result for one item; see `submit_all`."""
        (result,) = await self._lanes.answer(self, [item])
        return cast(Result, result)

    async def submit_all(self, items: Sequence[Item]) -> list[Result]:
        """Results for items, in order. Who is cancelled takes out what no thread has begun.

        Raises:
            Overloaded: too many wait already, or these would not be done by the deadline, or were
                not.
            Exception: whatever the function raised for one of them.
        """
        return await self._lanes.answer(self, items)

    @property
    def wait_s(self) -> float:
        """Estimated seconds that one more item would wait for those of the same kind."""
        return len(self.jobs) * self.cost_s / self.at_once

    def next_batch(self) -> list[Job]:
        """The jobs that a thread should do next; of slow lanes as much as fits into `SLICE_S`."""
        most = self._max_batch
        if self.lane is not Lane.INTERACTIVE and self.cost_s:
            most = max(1, min(most, int(SLICE_S / self.cost_s)))
        batch = [self.jobs.popleft() for _ in range(min(most, len(self.jobs)))]
        return [job for job in batch if not job.ticket.future.done()]

    def run(self, jobs: Sequence[Job]) -> Sequence[Result | Failed]:
        """Results of a batch, in a thread; in one that fails, each item is run by itself."""
        try:
            results = self._run([job.item for job in jobs])
            if len(results) != len(jobs):
                raise RuntimeError(f"{len(results)} results came for {len(jobs)} items")
            return results
        except Exception as error:  # noqa: BLE001 - belongs to those who wait, not to this thread
            if len(jobs) == 1:
                return [Failed(error)]
            return [self.run([job])[0] for job in jobs]
        finally:
            del jobs  # see `Lanes.answer`

    def note(self, items: int, took_s: float) -> None:
        """Take in what a batch took."""
        share = _LATEST if self.cost_s else 1
        self.cost_s += share * (took_s / items - self.cost_s)


class Lanes:
    """Owns the threads.

    One lock, held for microseconds, guards all queues: a thread takes its next batch without the
    event loop, which may be late itself.

    Attributes:
        counts: what each lane has done.
        stages: how long that took.
        give_way: lets others go first between two pieces of work on the event loop.
    """

    def __init__(self, settings: Work) -> None:
        """Nothing runs before `start`."""
        self._threads = [
            threading.Thread(target=self._work, name=f"lanes-{i}") for i in range(settings.threads)
        ]
        self._max_queue = settings.max_queue
        slow_s = settings.slow_deadline_ms / 1000
        self._deadline_s = (settings.deadline_ms / 1000, slow_s, slow_s)
        self._queues: tuple[list[Queue[Any, Any]], ...] = tuple([] for _ in Lane)
        self._served = [0.0 for _ in Lane]  # when a lane had its last turn
        self._quick = self._slow = 0  # threads at interactive work, and at heavy or bulk work
        self._held_s: float | None = None  # until bulk work begins that lets other work end
        self._begun: dict[int, list[Job]] = {}  # by thread
        self._changed = threading.Condition()
        self._is_stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self.counts = {lane: LaneCounts() for lane in Lane}
        self.stages = StageTimes()
        self.give_way = GiveWay()
        self._calls = [self.queue(_each, lane, what="calls") for lane in Lane]

    def queue(
        self,
        run: Callable[[Sequence[Item]], Sequence[Result]],
        lane: Lane,
        *,
        what: str,
        stage: Stage = "calls",
        max_batch: int = 1,
        at_once: int | None = None,
    ) -> Queue[Item, Result]:
        """A new kind of work.

        Items that wait are handed over together: a lone one does not wait for others to come, and
        while the threads are busy the next batch fills up.

        Args:
            run: one result for each item, in order; called in threads.
            lane: how urgent it is.
            what: the items are, in the plural.
            stage: of work that they are.
            max_batch: items of one batch.
            at_once: batches under way; by default as many as there are threads.
        """
        threads = len(self._threads)
        made = Queue(self, run, lane, what, stage, max_batch, min(at_once or threads, threads))
        self._queues[lane].append(made)
        return made

    def start(self) -> None:
        """Begin to work, for the running event loop."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop; whoever still waits gets Overloaded. Returns when all threads have ended."""
        with self._changed:
            self._is_stopping = True
            left = [job for queues in self._queues for queue in queues for job in queue.jobs]
            left += [job for jobs in self._begun.values() for job in jobs]
            self._changed.notify_all()
        for job in left:
            job.ticket.fail(Overloaded("the service is stopping"))
        for thread in self._threads:
            thread.join()

    async def run(self, call: Callable[[], Result], lane: Lane = Lane.INTERACTIVE) -> Result:
        """What a call comes to, in a thread.

        Raises:
            Overloaded: as `Queue.submit_all`.
            Exception: whatever the call raises.
        """
        return cast(Result, await self._calls[lane].submit(call))

    async def run_in_slices(
        self, work: Generator[object, None, Result], lane: Lane = Lane.HEAVY
    ) -> Result:
        """What a generator returns; whenever it ran for `SLICE_S` others have their turn.

        Bulk work ends its slice as soon as somebody waits for an answer, and goes on when nobody
        does, or in short slices with pauses between them. One that waited long for its thread is a
        whole slice.

        Raises:
            Overloaded: as `Queue.submit_all`.
            Exception: whatever it raises.
        """
        gives_way = lane is Lane.BULK
        returned: list[Result] = []
        while not returned:
            async with self.give_way.slice() if gives_way else contextlib.nullcontext():
                asked = time.perf_counter() if gives_way else None
                call = partial(self.give_way.run_slice, work, SLICE_S, asked)
                returned = await self.run(call, lane)
        return returned[0]

    def wait_s(self, lane: Lane) -> float:
        """Estimated seconds that one more item of a lane would wait for a thread."""
        before = [queue for queues in self._queues[: lane + 1] for queue in queues]
        return sum(len(queue.jobs) * queue.cost_s for queue in before) / len(self._threads)

    def waiting(self, lane: Lane) -> int:
        """Items of a lane that wait for a thread."""
        return sum(len(queue.jobs) for queue in self._queues[lane])

    def running(self, lane: Lane) -> int:
        """Batches of a lane that threads are at."""
        return sum(queue.running for queue in self._queues[lane])

    def interactive_wait_s(self) -> tuple[float, float]:
        """Seconds that the oldest interactive items have been waiting; 0 if none waits.

        Returns:
            The wait for a thread, and the wait for a thread or for the items of the same queue.
        """
        with self._changed:
            queues = [queue for queue in self._queues[Lane.INTERACTIVE] if queue.jobs]
            since = [queue.jobs[0].since for queue in queues]
            for_threads = [q.jobs[0].since for q in queues if q.running < q.at_once]
        now = time.perf_counter()
        return now - min(for_threads, default=now), now - min(since, default=now)

    async def answer(self, queue: Queue[Any, Any], items: Sequence[Any]) -> list[Any]:
        """Result of the whole call, for `Queue.submit_all`."""
        if not items:
            return []
        deadline_s = self._deadline_s[queue.lane]
        self._refuse(queue, len(items), deadline_s)
        loop = asyncio.get_running_loop()
        ticket, since = Ticket[Any](loop.create_future(), len(items)), time.perf_counter()
        span = current_span()
        with self._changed:
            if self._is_stopping:
                raise Overloaded("the service is stopping")
            queue.jobs.extend(Job(item, ticket, i, since, span) for i, item in enumerate(items))
            self._changed.notify()
        late = Overloaded(f"{queue.what}: not done within {deadline_s:g} s")
        timer = loop.call_later(deadline_s, self._expire, queue.lane, ticket, late)
        try:
            return await ticket.future
        finally:
            timer.cancel()
            if ticket.left:  # the caller left, it is too late, or an item failed
                with self._changed:
                    kept = [job for job in queue.jobs if job.ticket is not ticket]
                    queue.jobs.clear()
                    queue.jobs.extend(kept)
            del ticket  # an error's traceback would keep it, and it the error, with all they hold

    def _refuse(self, queue: Queue[Any, Any], items: int, deadline_s: float) -> None:
        wait_s, waiting = max(queue.wait_s, self.wait_s(queue.lane)), len(queue.jobs)
        if waiting and (waiting + items > self._max_queue or wait_s > deadline_s):
            self.counts[queue.lane].refused += items
            retry_s = max(1, math.ceil(wait_s))
            raise Overloaded(f"{waiting} {queue.what} are waiting already", retry_s)

    def _expire(self, lane: Lane, ticket: Ticket[Any], late: Overloaded) -> None:
        self.counts[lane].refused += ticket.left
        ticket.fail(late)

    def _work(self) -> None:
        loop = cast(asyncio.AbstractEventLoop, self._loop)
        while (taken := self._take()) is not None:
            queue, jobs = taken
            begin = time.perf_counter()
            with BatchSpans(queue.stage, queue.lane.name.lower(), jobs, begin):
                results = queue.run(jobs)
            took_s = time.perf_counter() - begin
            self.stages.note("queue", begin - min(job.since for job in jobs))
            self.stages.note(queue.stage, took_s)
            with self._changed:
                del self._begun[threading.get_ident()]
                queue.note(len(jobs), took_s)
                queue.running -= 1
                self._quick -= queue.lane is Lane.INTERACTIVE
                self._slow -= queue.lane is not Lane.INTERACTIVE
            loop.call_soon_threadsafe(_deliver, jobs, results)
            del taken, queue, jobs, results  # or they would live while the thread waits

    def _take(self) -> tuple[Queue[Any, Any], list[Job]] | None:
        """The next batch, once there is one; None when the lanes stop."""
        with self._changed:
            while not self._is_stopping:
                queue = self._most_urgent()
                if queue is None:
                    self._changed.wait(self._held_s)
                elif jobs := queue.next_batch():
                    queue.running += 1
                    self._quick += queue.lane is Lane.INTERACTIVE
                    self._slow += queue.lane is not Lane.INTERACTIVE
                    now = self._served[queue.lane] = time.perf_counter()
                    self.counts[queue.lane].take((job.since for job in jobs), now)
                    self._begun[threading.get_ident()] = jobs
                    if self._most_urgent() is not None or self._held_s is not None:
                        self._changed.notify()
                    return queue, jobs
        return None

    def _most_urgent(self) -> Queue[Any, Any] | None:
        """The queue whose batch a thread should take; None where there is none for one more."""
        now = time.perf_counter()
        may_be_slow = self._slow < len(self._threads) - 1
        chosen: Queue[Any, Any] | None = None
        self._held_s = None
        for lane in Lane:
            due = [q for q in self._queues[lane] if q.jobs and q.running < q.at_once]
            if not due or not (may_be_slow or lane is Lane.INTERACTIVE):
                continue
            oldest = min(due, key=lambda queue: queue.jobs[0].since)
            if lane is Lane.BULK and self._quick and not self.give_way.is_pressed:
                self._held_s = oldest.jobs[0].since + _BESIDE_S - now
                if self._held_s > 0:
                    continue
            if chosen is None:
                chosen = oldest
            elif now - max(oldest.jobs[0].since, self._served[lane]) > _PATIENCE_S:
                return oldest
        return chosen


def _deliver(jobs: Sequence[Job], results: Sequence[Any]) -> None:
    """Hand results, or what went wrong, to those who wait; on the event loop."""
    for job, result in zip(jobs, results, strict=True):
        if isinstance(result, Failed):
            job.ticket.fail(result.error)
        else:
            job.ticket.take(job.place, result)


def run_to_end(work: Generator[object, None, Result]) -> Result:
    """What a generator returns, for a caller who need not yield to others."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return cast(Result, end.value)


def _each(calls: Sequence[Callable[[], Any]]) -> Sequence[Any]:
    return [call() for call in calls]
