"""Searches that take a while don't keep the event loop from others."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from service.errors import Overloaded
from service.index.base import Question, SearchResult
from service.index.filters import Condition, Filter
from service.index.flat import FlatIndex
from service.index.segments import Plan, SegmentedIndex
from service.retrieval.searches import Searches
from service.settings import Searching
from tests.service.index.records import row, unit

DIM, CONTENT_DIM = 8, 4
WANTED = Filter([Condition("views", gte=50)])


def index_of(streamers: int) -> FlatIndex:
    index = FlatIndex(DIM, CONTENT_DIM)
    for i, vector in enumerate(unit(np.random.default_rng(0), streamers, DIM)):
        index.upsert(f"s{i}", 1, *row(vector, CONTENT_DIM, {"attributes": {"views": i}}))
    return index


def with_searches(
    scenario: Callable[[Searches], Awaitable[None]], settings: Searching | None = None
) -> None:
    async def run() -> None:
        searches = Searches(settings or Searching())
        searches.start()
        try:
            await scenario(searches)
        finally:
            await searches.stop()

    asyncio.run(run())


class Watched(FlatIndex):
    """Notes in which thread it searches."""

    def __init__(self) -> None:
        super().__init__(DIM, CONTENT_DIM)
        self.searched_in: list[str] = []

    def search(self, *args, **options):
        self.searched_in.append(threading.current_thread().name)
        return super().search(*args, **options)


def test_quick_ones_stay_and_others_go_to_a_thread() -> None:
    index = Watched()
    query = unit(np.random.default_rng(1), 1, DIM)

    async def scenario(searches: Searches) -> None:
        await searches.search(index, query, None, 10)
        await searches.search(index, query, None, 10, wanted=WANTED)
        await searches.search(index, query, None, 1000, queued=False)

    with_searches(scenario)
    assert index.searched_in[0] == threading.current_thread().name
    assert all(name.startswith("search") for name in index.searched_in[1:])


def test_both_answer_the_same() -> None:
    index = index_of(100)
    query = unit(np.random.default_rng(1), 1, DIM)
    direct = index.search(query, None, 10, wanted=WANTED)

    async def scenario(searches: Searches) -> None:
        for queued in (True, False):
            assert (
                await searches.search(index, query, None, 10, wanted=WANTED, queued=queued)
                == direct
            )

    with_searches(scenario)
    assert len(direct.hits) == 10


def test_what_is_too_much_is_refused_and_writes_never_are() -> None:
    hold = threading.Event()

    async def scenario(searches: Searches) -> None:
        running = asyncio.create_task(searches.run(hold.wait))
        await asyncio.sleep(0.05)  # the only thread is busy now
        waiting = asyncio.create_task(searches.run(lambda: 1))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="1 searches are waiting already"):
            await searches.run(lambda: 2)
        write = asyncio.create_task(searches.run(lambda: 3, queued=False))
        hold.set()
        assert await running
        assert await waiting == 1
        assert await write == 3

    with_searches(scenario, Searching(threads=1, max_queue=1))


def test_questions_to_a_large_base_are_answered_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.index.flat.QUICK_ROWS", 100)
    index = SegmentedIndex(DIM, CONTENT_DIM, (), Plan("Flat", from_rows=100))
    vectors = unit(np.random.default_rng(1), 300, DIM)
    for i, vector in enumerate(vectors):
        index.upsert(f"s{i}", 1, *row(vector, CONTENT_DIM, {}))
    questions = [Question(vector, 1 + i % 7, (f"s{i}",)) for i, vector in enumerate(vectors)]
    index.rebuild()
    assert index.is_fast(10)
    assert not index.is_quick(10, plain=True)
    expected = [index.search(q[None, :], None, k, exclude=out) for q, k, out in questions]
    assert index.search_many(questions) == expected

    async def ask() -> list[SearchResult]:
        searches = Searches(Searching())
        searches.start()
        try:
            return await asyncio.gather(*(searches.nearest(index, q) for q in questions))
        finally:
            await searches.stop()

    assert asyncio.run(ask()) == expected
