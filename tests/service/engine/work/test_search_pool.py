"""Searches that take a while don't keep the event loop from others."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
import pytest

from service.engine.work.lanes import Lanes
from service.engine.work.search_pool import SearchPool
from service.index.base import Remove, Upsert
from service.index.faiss.index import FaissIndex
from service.index.faiss.segmented import Plan
from service.index.filters import Condition, Filter
from service.index.query import Query
from service.settings import Work
from tests.service.index.asked import query_of
from tests.service.index.faiss.owned import OwnedDevice
from tests.service.index.faiss.records import row, unit

DIM, CONTENT_DIM = 8, 4
SHORT_MS, LONG_MS = 0.1, 5.0
THREAD = "lanes"


def with_pool(scenario: Callable[[SearchPool], Awaitable[None]]) -> None:
    async def run() -> None:
        lanes = Lanes(Work())
        lanes.start()
        try:
            await scenario(SearchPool(lanes))
        finally:
            lanes.stop()

    asyncio.run(run())


def thread() -> str:
    return threading.current_thread().name


def test_short_calls_stay_and_long_ones_go_to_a_thread() -> None:
    async def scenario(pool: SearchPool) -> None:
        assert await pool.run(thread, SHORT_MS) == thread()
        assert (await pool.run(thread, LONG_MS)).startswith(THREAD)

    with_pool(scenario)


class Doubled:
    """Doubles numbers, and notes how many come at once, and in which thread."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, str]] = []

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.calls.append((len(items), thread()))
        return [2 * item for item in items]


@pytest.mark.parametrize("cost_ms", [SHORT_MS, 0.4, LONG_MS])
def test_items_are_answered_together(cost_ms: float) -> None:
    """Short ones on the event loop, by turns that stay short; long ones in threads."""
    doubled, other = Doubled(), Doubled()

    async def scenario(pool: SearchPool) -> None:
        numbers = range(300)
        asked = [pool.together((doubled, other)[i % 7 == 0], i, cost_ms) for i in numbers]
        assert await asyncio.gather(*asked) == [2 * i for i in numbers]
        assert await pool.together(doubled, 5, cost_ms) == 10

    with_pool(scenario)
    together = [many for many, _ in doubled.calls]
    assert sum(together) + sum(many for many, _ in other.calls) == 301
    assert max(together) <= (10 if cost_ms == 0.4 else 16)
    assert len(together) < 100
    assert {name.startswith(THREAD) for _, name in doubled.calls} == {cost_ms == LONG_MS}


def test_who_leaves_or_breaks_it_leaves_others_alone() -> None:
    async def scenario(pool: SearchPool) -> None:
        doubled = Doubled()
        tasks = [asyncio.ensure_future(pool.together(doubled, i, SHORT_MS)) for i in range(20)]
        await asyncio.sleep(0)
        tasks[3].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(answers[3], asyncio.CancelledError)
        assert answers[:3] + answers[4:] == [2 * i for i in range(20) if i != 3]

        def broken(items: Sequence[int]) -> list[int]:
            raise ZeroDivisionError

        both = [pool.together(answer, 7, SHORT_MS) for answer in (broken, doubled)]
        failed, answer = await asyncio.gather(*both, return_exceptions=True)
        assert isinstance(failed, ZeroDivisionError)
        assert answer == 14

        def too_few(items: Sequence[int]) -> list[int]:
            return list(items[1:])

        short = [pool.together(too_few, i, SHORT_MS) for i in range(3)]
        async with asyncio.timeout(30):
            found = await asyncio.gather(*short, return_exceptions=True)
        assert isinstance(found[2], ValueError)

    with_pool(scenario)


class Watched(SearchPool):
    """Notes the expected cost of what it runs, alone and together."""

    def __init__(self, lanes: Lanes) -> None:
        super().__init__(lanes)
        self.alone: list[float] = []
        self.with_others: list[float] = []

    async def run(self, call, cost_ms):
        self.alone.append(cost_ms)
        return await super().run(call, cost_ms)

    async def together(self, answer, item, cost_ms):
        self.with_others.append(cost_ms)
        return await super().together(answer, item, cost_ms)


def searched(
    rows: int, queries: Callable[[np.ndarray], list[Query]], device: OwnedDevice | None = None
) -> Watched:
    """A pool that ran searches of an index with a segment, whose answers were as those alone."""
    vectors = np.repeat(unit(np.random.default_rng(1), rows // 40, DIM), 40, axis=0)

    async def run() -> Watched:
        lanes = Lanes(Work())
        pool, alone = Watched(lanes), FaissIndex(DIM, CONTENT_DIM, (), Plan("Flat", from_rows=100))
        plan = Plan("Flat", from_rows=100)
        index = FaissIndex(DIM, CONTENT_DIM, (), plan, device=device, work=pool)
        for each in (index, alone):
            await each.apply(
                [
                    Upsert(f"s{i}", 1, *row(v, CONTENT_DIM, {"attributes": {"views": i}}))
                    for i, v in enumerate(vectors)
                ]
            )
            each.rebuild()
            await each.apply([Remove("s1", 2)])
        lanes.start()
        asked = queries(vectors)
        answers = await asyncio.gather(*(index.search(query) for query in asked))
        assert list(answers) == [await alone.search(query) for query in asked]
        lanes.stop()
        return pool

    return asyncio.run(run())


def test_no_answer_depends_on_who_else_asks() -> None:
    """Also where forty are equally near, and some of them are in it."""

    def queries(vectors: np.ndarray) -> list[Query]:
        return [query_of(vectors[40 * i], 1 + 3 * (i % 6), exclude={f"s{i}"}) for i in range(20)]

    pool = searched(800, queries)
    assert len(pool.with_others) == 20
    assert pool.alone == []
    assert max(pool.with_others) < 0.1


def test_what_a_segment_does_not_answer_costs_as_much_as_it_is() -> None:
    wanted = Filter([Condition("views", gte=50)])

    def queries(vectors: np.ndarray) -> list[Query]:
        return [
            query_of(vectors[0], exact=True),
            query_of(vectors[0], filter=wanted),
            query_of(vectors[0], 800),
        ]

    pool = searched(800, queries)
    assert pool.with_others == []
    exact, filtered, long = pool.alone
    assert exact < filtered < 0.1
    assert long > 0.5


def test_a_gpu_is_never_waited_for_on_the_event_loop() -> None:
    pool = searched(800, lambda vectors: [query_of(v) for v in vectors[::100]], OwnedDevice())
    assert len(pool.with_others) == 8
    assert min(pool.with_others) > 0.5
