"""Dynamic batching: single items in, batches through a callable, one result each out.

Knows nothing of what is computed. Every waiting caller gets a result, an exception or a deadline.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from service.errors import Overloaded

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class _Waiting(Generic[Item, Result]):
    item: Item
    future: "asyncio.Future[Result]" = field(compare=False)


class Batcher(Generic[Item, Result]):
    """Collects items for a short while and hands them to `run` in an executor.

    A lone item does not wait when nothing is running; while a batch runs, the next one fills up.
    One that is full already goes to the executor behind it, so that no thread waits for the event
    loop between two batches.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Sequence[Result]],
        executor: Executor,
        *,
        max_batch: int,
        max_wait_ms: float,
        max_queue: int,
        deadline_ms: int,
        workers: int = 1,
        what: str = "profiles",
    ) -> None:
        """Batches of `max_batch` at most; `max_queue` items may wait, each `deadline_ms`.

        So many `workers` have a batch in the executor at once, and one more batch is ready there
        if it is full; single items (`max_batch` 1) wait here. `what` the items are is told to those
        who are refused.
        """
        self._workers = workers
        self._running = 0
        self._what = what
        self._run = run
        self._executor = executor
        self._max_batch = max_batch
        self._max_wait_s = max_wait_ms / 1000
        self._max_queue = max_queue
        self._deadline_s = deadline_ms / 1000
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        self._arrived = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to work, on the running event loop."""
        tasks = self._workers + (self._max_batch > 1)
        self._tasks = [asyncio.create_task(self._work(), name="batcher") for _ in range(tasks)]

    async def stop(self) -> None:
        """Stop; whoever still waits gets Overloaded."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while self._waiting:
            self._fail(self._waiting.popleft(), Overloaded("the service is stopping"))

    async def submit(self, item: Item) -> Result:
        """The result for one item.

        Raises:
            Overloaded: too many items wait already, or the deadline passed.
            Exception: whatever `run` raised for the batch.
        """
        if len(self._waiting) >= self._max_queue:
            raise Overloaded(f"{self._max_queue} {self._what} are waiting already")
        loop = asyncio.get_running_loop()
        waiting = _Waiting[Item, Result](item, loop.create_future())
        self._waiting.append(waiting)
        if not self._arrived.is_set() and self._is_due():
            self._arrived.set()
        deadline = loop.call_later(self._deadline_s, self._expire, waiting)
        try:
            return await waiting.future
        except asyncio.CancelledError:
            self._take_out(waiting)
            raise
        finally:
            deadline.cancel()

    def _expire(self, waiting: _Waiting[Item, Result]) -> None:
        self._take_out(waiting)
        self._fail(waiting, Overloaded(f"not done within {self._deadline_s:.1f} s"))

    def _take_out(self, waiting: _Waiting[Item, Result]) -> None:
        with contextlib.suppress(ValueError):  # it runs already
            self._waiting.remove(waiting)

    async def _work(self) -> None:
        while True:
            while not self._is_due():
                self._arrived.clear()
                await self._arrived.wait()
            self._running += 1
            try:
                await self._run_one(await self._collect())
            finally:
                self._running -= 1
                self._arrived.set()  # what waits may be due now

    def _is_due(self) -> bool:
        """Whether a batch should begin: at once for an idle worker, and only full behind others."""
        fewest = 1 if self._running < self._workers else self._max_batch
        return len(self._waiting) >= fewest

    async def _run_one(self, batch: "list[_Waiting[Item, Result]]") -> None:
        if not batch:
            return
        loop = asyncio.get_running_loop()
        call = loop.run_in_executor(self._executor, self._run, [w.item for w in batch])
        try:
            results = await call
            if len(results) != len(batch):
                raise RuntimeError(f"{len(results)} results came for {len(batch)} items")
        except asyncio.CancelledError:
            for waiting in batch:
                self._fail(waiting, Overloaded("the service is stopping"))
            raise
        except Exception as error:  # noqa: BLE001 - belongs to those who wait, not to this loop
            for waiting in batch:
                self._fail(waiting, error)
            return
        for waiting, result in zip(batch, results, strict=True):
            if not waiting.future.done():
                waiting.future.set_result(result)

    async def _collect(self) -> list[_Waiting[Item, Result]]:
        """The next batch, without those whose callers have gone."""
        if 1 < len(self._waiting) < self._max_batch:
            await asyncio.sleep(self._max_wait_s)  # more are on their way
        batch: list[_Waiting[Item, Result]] = []
        while self._waiting and len(batch) < self._max_batch:
            waiting = self._waiting.popleft()
            if not waiting.future.done():
                batch.append(waiting)
        return batch

    @staticmethod
    def _fail(waiting: _Waiting[Item, Result], error: Exception) -> None:
        if not waiting.future.done():
            waiting.future.set_exception(error)


def queue_of_calls(
    executor: Executor, *, workers: int, max_queue: int, deadline_ms: int, what: str
) -> Batcher[Callable[[], Any], Any]:
    """A bounded queue of calls that run one by one, for work that gains nothing from batches."""
    return Batcher(
        _each,
        executor,
        max_batch=1,
        max_wait_ms=0,
        max_queue=max_queue,
        deadline_ms=deadline_ms,
        workers=workers,
        what=what,
    )


def _each(calls: Sequence[Callable[[], Any]]) -> Sequence[Any]:
    return [call() for call in calls]
