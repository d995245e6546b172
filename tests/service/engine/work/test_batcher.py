"""Everyone who waits gets a result, an exception or a deadline."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.engine.work.batcher import Batcher
from service.errors import Overloaded


def make(run: Callable[[Sequence[int]], Sequence[int]], **changes: float) -> Batcher[int, int]:
    options = {"max_batch": 4, "max_wait_ms": 5, "max_queue": 100, "deadline_ms": 20_000, **changes}
    return Batcher(run, ThreadPoolExecutor(1), **options)  # type: ignore[arg-type]


def test_each_item_gets_its_own_result_in_batches() -> None:
    sizes: list[int] = []

    def run(items: Sequence[int]) -> list[int]:
        sizes.append(len(items))
        return [10 * i for i in items]

    async def scenario() -> list[int]:
        batcher = make(run)
        batcher.start()
        results = await asyncio.gather(*(batcher.submit(i) for i in range(10)))
        await batcher.stop()
        return results

    assert asyncio.run(scenario()) == [10 * i for i in range(10)]
    assert sum(sizes) == 10
    assert max(sizes) <= 4
    assert len(sizes) <= 5


def test_a_failing_batch_fails_its_items_and_nobody_else() -> None:
    def run(items: Sequence[int]) -> list[int]:
        if 3 in items:
            raise ValueError("three")
        return list(items)

    async def scenario() -> None:
        batcher = make(run, max_batch=1)
        batcher.start()
        results = await asyncio.gather(
            *(batcher.submit(i) for i in range(5)), return_exceptions=True
        )
        await batcher.stop()
        assert [r for r in results if not isinstance(r, Exception)] == [0, 1, 2, 4]
        assert isinstance(results[3], ValueError)

    asyncio.run(scenario())


def test_a_batch_that_lacks_a_result_fails_its_items_and_the_next_one_runs() -> None:
    def run(items: Sequence[int]) -> list[int]:
        return [i for i in items if i != 3]

    async def scenario() -> list[int | BaseException]:
        batcher = make(run)
        batcher.start()
        lost = await asyncio.gather(batcher.submit(3), return_exceptions=True)
        found = await asyncio.gather(batcher.submit(4), return_exceptions=True)
        await batcher.stop()
        return [*lost, *found]

    lost, found = asyncio.run(scenario())
    assert isinstance(lost, RuntimeError)
    assert str(lost) == "0 results came for 1 items"
    assert found == 4


def test_a_full_queue_and_a_deadline_are_refusals() -> None:
    runs, release = threading.Event(), threading.Event()

    def run(items: Sequence[int]) -> list[int]:
        runs.set()
        release.wait(30)
        return list(items)

    async def scenario() -> None:
        batcher = make(run, max_batch=1, max_queue=2, deadline_ms=1000)
        batcher.start()
        waiting = [asyncio.create_task(batcher.submit(0))]
        while not runs.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        waiting += [asyncio.create_task(batcher.submit(i)) for i in (1, 2)]
        await asyncio.sleep(0)  # they wait
        with pytest.raises(Overloaded, match="are waiting already"):
            await batcher.submit(9)
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(r, Overloaded) for r in results)
        release.set()
        assert await batcher.submit(7) == 7  # it goes on
        await batcher.stop()

    asyncio.run(scenario())


def test_work_of_callers_that_left_is_skipped() -> None:
    seen: list[int] = []
    release = threading.Event()

    def run(items: Sequence[int]) -> list[int]:
        release.wait(30)
        seen.extend(items)
        return list(items)

    async def scenario() -> None:
        batcher = make(run, max_batch=1)
        batcher.start()
        first = asyncio.create_task(batcher.submit(1))
        second = asyncio.create_task(batcher.submit(2))
        await asyncio.sleep(0.02)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        release.set()
        assert await first == 1
        assert await batcher.submit(3) == 3
        await batcher.stop()

    asyncio.run(scenario())
    assert seen == [1, 3]


def test_stopping_fails_those_who_wait() -> None:
    release = threading.Event()

    def run(items: Sequence[int]) -> list[int]:
        release.wait(30)
        return list(items)

    async def scenario() -> None:
        batcher = make(run, max_batch=1)
        batcher.start()
        waiting = [asyncio.create_task(batcher.submit(i)) for i in range(3)]
        await asyncio.sleep(0.02)
        await batcher.stop()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        release.set()
        assert all(isinstance(r, Overloaded) for r in results)

    asyncio.run(scenario())


def test_a_full_batch_is_ready_behind_the_one_that_runs_and_others_fill_up() -> None:
    batches: list[list[int]] = []
    release = threading.Event()

    def run(items: Sequence[int]) -> list[int]:
        release.wait(30)
        batches.append(list(items))
        return list(items)

    async def scenario() -> None:
        executor = ThreadPoolExecutor(1)
        batcher = Batcher(
            run, executor, max_batch=4, max_wait_ms=5, max_queue=100, deadline_ms=20_000
        )
        batcher.start()
        waiting = [asyncio.create_task(batcher.submit(0))]
        await asyncio.sleep(0.05)  # it runs
        waiting += [asyncio.create_task(batcher.submit(i)) for i in (1, 2, 3)]
        await asyncio.sleep(0.05)
        assert executor._work_queue.qsize() == 0  # three are not full: they fill up
        waiting += [asyncio.create_task(batcher.submit(i)) for i in (4, 5, 6)]
        await asyncio.sleep(0.05)
        assert executor._work_queue.qsize() == 1  # the four first; two fill up
        release.set()
        assert await asyncio.gather(*waiting) == list(range(7))
        await batcher.stop()

    asyncio.run(scenario())
    assert batches == [[0], [1, 2, 3, 4], [5, 6]]
