"""The most urgent first, and everyone who waits gets a result, an exception or a deadline."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from service.engine.work.lanes import SLICE_S, Lane, Lanes
from service.errors import Overloaded
from service.settings import Work

WAIT_S = 30


class Hold:
    """Keeps threads busy until it is told to let go."""

    def __init__(self) -> None:
        self._begun = threading.Semaphore(0)
        self._end = threading.Event()

    def __call__(self, *_: object) -> None:
        self._begun.release()
        assert self._end.wait(WAIT_S)

    async def begun(self, threads: int = 1) -> None:
        """Wait until so many more threads are busy."""
        for _ in range(threads):
            assert await asyncio.to_thread(self._begun.acquire, timeout=WAIT_S)

    def end(self) -> None:
        self._end.set()


def with_lanes(scenario: Callable[[Lanes], Awaitable[None]], **settings: int) -> None:
    async def run() -> None:
        lanes = Lanes(Work(**{"threads": 2, **settings}))
        lanes.start()
        try:
            await scenario(lanes)
        finally:
            lanes.stop()

    asyncio.run(run())


async def waiting(lanes: Lanes, lane: Lane, items: int) -> None:
    while lanes.waiting(lane) != items:  # noqa: ASYNC110
        await asyncio.sleep(0)


def test_urgent_work_comes_first_and_one_thread_is_left_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.engine.work.lanes._PATIENCE_S", 2 * WAIT_S)
    done: list[str] = []

    async def scenario(lanes: Lanes) -> None:
        slow, urgent = Hold(), Hold()
        tasks = [asyncio.create_task(lanes.run(slow, Lane.BULK))]
        await slow.begun()  # the other thread does nothing for bulk or heavy work
        for name, lane in (("bulk", Lane.BULK), ("heavy", Lane.HEAVY)):
            tasks.append(asyncio.create_task(lanes.run(lambda name=name: done.append(name), lane)))
            await waiting(lanes, lane, 1)
        await lanes.run(lambda: done.append("interactive"))
        assert done == ["interactive"]
        tasks.append(asyncio.create_task(lanes.run(urgent)))
        await urgent.begun()
        tasks.append(asyncio.create_task(lanes.run(lambda: done.append("interactive"))))
        await waiting(lanes, Lane.INTERACTIVE, 1)
        slow.end()  # one thread for all that waits
        urgent_and_heavy = [tasks[-1], tasks[2]]
        await asyncio.gather(*urgent_and_heavy)
        urgent.end()
        await asyncio.gather(*tasks)

    with_lanes(scenario)
    assert done == ["interactive", "interactive", "heavy", "bulk"]


def test_no_lane_starves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.engine.work.lanes._PATIENCE_S", 0)
    monkeypatch.setattr("service.engine.work.lanes._BESIDE_S", 0)

    async def scenario(lanes: Lanes) -> None:
        hold = Hold()
        tasks = [asyncio.create_task(lanes.run(hold)) for _ in range(2)]
        await hold.begun(2)
        order: list[Lane] = []
        for lane in (Lane.INTERACTIVE, Lane.INTERACTIVE, Lane.BULK):
            tasks.append(asyncio.create_task(lanes.run(lambda x=lane: order.append(x), lane)))
        await waiting(lanes, Lane.BULK, 1)
        hold.end()
        await asyncio.gather(*tasks)
        assert order.index(Lane.BULK) < 2

    with_lanes(scenario)


def test_bulk_work_lets_interactive_work_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.engine.work.lanes._BESIDE_S", 2 * WAIT_S)
    done: list[str] = []

    async def scenario(lanes: Lanes) -> None:
        hold = Hold()
        holding = asyncio.create_task(lanes.run(hold))
        await hold.begun()
        bulk = asyncio.create_task(lanes.run(lambda: done.append("bulk"), Lane.BULK))
        await waiting(lanes, Lane.BULK, 1)
        await lanes.run(lambda: done.append("interactive"))  # by the thread that is free
        assert lanes.waiting(Lane.BULK) == 1
        hold.end()
        await asyncio.gather(holding, bulk)

    with_lanes(scenario)
    assert done == ["interactive", "bulk"]


@pytest.mark.parametrize("is_pressed", [False, True])
def test_bulk_work_does_not_wait_long_for_it(
    monkeypatch: pytest.MonkeyPatch, is_pressed: bool
) -> None:
    """And not at all when it is far behind."""
    beside_s = 2 * WAIT_S if is_pressed else 0.001
    monkeypatch.setattr("service.engine.work.lanes._BESIDE_S", beside_s)

    async def scenario(lanes: Lanes) -> None:
        lanes.give_way.press(is_pressed)
        hold = Hold()
        holding = asyncio.create_task(lanes.run(hold))
        await hold.begun()
        async with asyncio.timeout(WAIT_S):
            await lanes.run(lambda: None, Lane.BULK)
        hold.end()
        await holding

    with_lanes(scenario)


def test_each_item_gets_its_own_result_and_what_waits_goes_together() -> None:
    sizes: list[int] = []

    async def scenario(lanes: Lanes) -> None:
        hold = Hold()

        def run(items: Sequence[int]) -> list[int]:
            sizes.append(len(items))
            if items[0] == 0:
                hold()
            return [10 * i for i in items]

        queue = lanes.queue(run, Lane.INTERACTIVE, what="numbers", max_batch=4, at_once=1)
        first = asyncio.create_task(queue.submit(0))  # nobody is waited for
        await hold.begun()
        rest = [asyncio.create_task(queue.submit(i)) for i in range(1, 5)]
        rest.append(asyncio.create_task(queue.submit_all([5, 6])))  # type: ignore[arg-type]
        await waiting(lanes, Lane.INTERACTIVE, 6)
        hold.end()
        assert await first == 0
        assert await asyncio.gather(*rest) == [10, 20, 30, 40, [50, 60]]
        assert await queue.submit_all([]) == []

    with_lanes(scenario)
    assert sizes == [1, 4, 2]


def test_a_batch_of_slow_work_takes_no_longer_than_a_slice() -> None:
    sizes: list[int] = []

    async def scenario(lanes: Lanes) -> None:
        def run(items: Sequence[int]) -> list[int]:
            sizes.append(len(items))
            return list(items)

        queue = lanes.queue(run, Lane.BULK, what="numbers", max_batch=64)
        queue.cost_s = SLICE_S / 4
        queue.note = lambda items, took_s: None  # type: ignore[method-assign]
        assert await queue.submit_all(range(10)) == list(range(10))
        queue.cost_s = 2 * SLICE_S
        await queue.submit_all([1, 2])

    with_lanes(scenario)
    assert sorted(sizes) == [1, 1, 2, 4, 4]


def test_a_failing_batch_fails_its_items_and_nobody_else() -> None:
    async def scenario(lanes: Lanes) -> None:
        def run(items: Sequence[int]) -> list[int]:
            if 3 in items:
                raise ValueError("three")
            return [i for i in items if i != 4]

        queue = lanes.queue(run, Lane.INTERACTIVE, what="numbers")
        found = await asyncio.gather(*map(queue.submit, range(6)), return_exceptions=True)
        assert [r for r in found if not isinstance(r, Exception)] == [0, 1, 2, 5]
        assert isinstance(found[3], ValueError)
        assert str(found[4]) == "0 results came for 1 items"

    with_lanes(scenario)


def test_a_bad_item_fails_nobody_else_of_its_batch() -> None:
    async def scenario(lanes: Lanes) -> None:
        hold = Hold()

        def run(items: Sequence[int]) -> list[int]:
            if items[0] == 0:
                hold()
            if 3 in items:
                raise ValueError("three")
            return list(items)

        queue = lanes.queue(run, Lane.INTERACTIVE, what="numbers", max_batch=8, at_once=1)
        tasks = [asyncio.create_task(queue.submit(0))]
        await hold.begun()
        tasks += [asyncio.create_task(queue.submit(i)) for i in range(1, 6)]
        await waiting(lanes, Lane.INTERACTIVE, 5)
        hold.end()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [r for r in found if not isinstance(r, Exception)] == [0, 1, 2, 4, 5]
        assert isinstance(found[3], ValueError)

    with_lanes(scenario)


def test_too_much_is_refused() -> None:
    async def scenario(lanes: Lanes) -> None:
        hold = Hold()
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(lanes.run(hold)) for _ in range(2)]
        await hold.begun(2)
        tasks += [asyncio.create_task(lanes.run(lambda: 1)) for _ in range(16)]
        await waiting(lanes, Lane.INTERACTIVE, 16)
        with pytest.raises(Overloaded, match="16 calls are waiting already"):
            await lanes.run(lambda: 2)
        assert (lanes.waiting(Lane.INTERACTIVE), lanes.running(Lane.INTERACTIVE)) == (16, 2)
        hold.end()
        assert await asyncio.gather(*tasks) == [None, None, *[1] * 16]
        counts = lanes.counts[Lane.INTERACTIVE]
        assert (counts.taken, counts.refused) == (18, 1)
        assert counts.waited_s > 0

    with_lanes(scenario, max_queue=16)


def test_what_can_not_be_done_in_time_is_refused_at_once_with_the_time_to_wait() -> None:
    async def scenario(lanes: Lanes) -> None:
        hold = Hold()
        queue = lanes.queue(lambda x: x, Lane.INTERACTIVE, what="numbers")
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(lanes.run(hold)) for _ in range(2)]
        await hold.begun(2)
        tasks.append(asyncio.create_task(queue.submit(1)))
        await waiting(lanes, Lane.INTERACTIVE, 1)
        queue.cost_s = 2.5 * 20
        with pytest.raises(Overloaded) as refused:
            await queue.submit(2)
        assert refused.value.retry_after_s == 25
        hold.end()
        await asyncio.gather(*tasks)

    with_lanes(scenario, deadline_ms=20_000)


def test_a_deadline_ends_the_wait_and_takes_the_work_away() -> None:
    ran: list[int] = []

    async def scenario(lanes: Lanes) -> None:
        hold = Hold()
        begun = [asyncio.create_task(lanes.run(hold)) for _ in range(2)]
        await hold.begun(2)
        late = asyncio.create_task(lanes.run(lambda: ran.append(1)))
        for task in (*begun, late):
            with pytest.raises(Overloaded, match=r"calls: not done within 4 s"):
                await task
        assert lanes.waiting(Lane.INTERACTIVE) == 0
        assert lanes.counts[Lane.INTERACTIVE].refused == 3
        hold.end()
        await lanes.run(lambda: ran.append(2))  # it goes on

    with_lanes(scenario, deadline_ms=4000)
    assert ran == [2]


def test_abandoned_work_is_not_done() -> None:
    ran: list[int] = []

    async def scenario(lanes: Lanes) -> None:
        hold = Hold()
        begun = [asyncio.create_task(lanes.run(hold)) for _ in range(2)]
        await hold.begun(2)

        def run(items: Sequence[int]) -> Sequence[int]:
            ran.extend(items)
            return items

        queue = lanes.queue(run, Lane.INTERACTIVE, what="numbers")
        left = asyncio.create_task(queue.submit_all([1, 2, 3]))
        stays = asyncio.create_task(queue.submit(4))
        await waiting(lanes, Lane.INTERACTIVE, 4)
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
        assert lanes.waiting(Lane.INTERACTIVE) == 1
        hold.end()
        assert await stays == 4
        await asyncio.gather(*begun)

    with_lanes(scenario)
    assert ran == [4]


def test_stopping_gives_everyone_a_result() -> None:
    async def scenario() -> None:
        lanes, hold = Lanes(Work(threads=2)), Hold()
        lanes.start()
        tasks = [asyncio.create_task(lanes.run(hold)) for _ in range(2)]
        await hold.begun(2)
        tasks += [asyncio.create_task(lanes.run(lambda: None, lane)) for lane in Lane]
        await waiting(lanes, Lane.BULK, 1)

        def end() -> None:
            while not lanes._is_stopping:
                time.sleep(0.001)
            hold.end()

        asyncio.get_running_loop().run_in_executor(None, end)
        lanes.stop()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(r, Overloaded) for r in results)
        with pytest.raises(Overloaded, match="stopping"):
            await lanes.run(lambda: None)

    asyncio.run(scenario())


@pytest.mark.parametrize("lane", Lane)
def test_what_a_failed_call_held_is_freed_with_its_error(lane: Lane) -> None:
    class Body:
        """Something large."""

    async def scenario(lanes: Lanes) -> None:
        seen: list[weakref.ref[Body]] = []

        def fail() -> None:
            body = Body()
            seen.append(weakref.ref(body))
            raise ValueError("refused")

        with pytest.raises(ValueError, match="refused") as raised:
            await lanes.run(fail, lane)
        del raised
        until = time.monotonic() + WAIT_S
        while seen[0]() is not None:  # the thread may still be at its last line
            assert time.monotonic() < until, "a cycle of references keeps it"
            await asyncio.sleep(0.001)

    gc.disable()
    try:
        with_lanes(scenario)
    finally:
        gc.enable()
