"""Searches that take a while don't keep the event loop from others."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
import pytest

from service.engine.work.lanes import Lanes
from service.engine.work.search_pool import Searches
from service.index.base import Question, SearchResult
from service.index.faiss.flat import FlatIndex
from service.index.faiss.segmented import Plan, SegmentedIndex
from service.index.filters import Condition, Filter
from service.settings import Work
from tests.service.index.faiss.records import row, unit

DIM, CONTENT_DIM = 8, 4
WANTED = Filter([Condition("views", gte=50)])


def index_of(streamers: int) -> FlatIndex:
    index = FlatIndex(DIM, CONTENT_DIM)
    for i, vector in enumerate(unit(np.random.default_rng(0), streamers, DIM)):
        index.upsert(f"s{i}", 1, *row(vector, CONTENT_DIM, {"attributes": {"views": i}}))
    return index


def with_searches(scenario: Callable[[Searches], Awaitable[None]]) -> None:
    async def run() -> None:
        lanes = Lanes(Work())
        lanes.start()
        try:
            await scenario(Searches(lanes))
        finally:
            lanes.stop()

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
        await searches.search(index, query, None, 1000)

    with_searches(scenario)
    assert index.searched_in[0] == threading.current_thread().name
    assert all(name.startswith("lanes") for name in index.searched_in[1:])


def test_both_answer_the_same() -> None:
    index = index_of(100)
    query = unit(np.random.default_rng(1), 1, DIM)
    direct = index.search(query, None, 10, wanted=WANTED)

    async def scenario(searches: Searches) -> None:
        assert await searches.search(index, query, None, 10, wanted=WANTED) == direct

    with_searches(scenario)
    assert len(direct.hits) == 10


class Counted(SegmentedIndex):
    """Notes how many questions come at once, and in which thread."""

    def __init__(self) -> None:
        super().__init__(DIM, CONTENT_DIM, (), Plan("Flat", from_rows=100))
        self.asked: list[tuple[int, str]] = []
        self.vectors = unit(np.random.default_rng(1), 300, DIM)
        for i, vector in enumerate(self.vectors):
            self.upsert(f"s{i}", 1, *row(vector, CONTENT_DIM, {}))
        self.rebuild()
        self.questions = [Question(v, 1 + i % 7, (f"s{i}",)) for i, v in enumerate(self.vectors)]
        self.expected = [
            self.search(q[None, :], None, k, exclude=out) for q, k, out in self.questions
        ]

    def search_many(self, questions: Sequence[Question]) -> list[SearchResult]:
        self.asked.append((len(questions), threading.current_thread().name))
        return super().search_many(questions)


@pytest.mark.parametrize("limit", [None, "_QUICK_BASE", "_QUICK_FRESH"])
def test_questions_to_a_base_are_answered_together(
    monkeypatch: pytest.MonkeyPatch, limit: str | None
) -> None:
    """On the event loop; by a large base, or one with many rows beside it, in threads."""
    is_large, index = limit is not None, Counted()
    if limit is not None:
        monkeypatch.setattr(f"service.index.faiss.segmented.{limit}", -1)
    assert index.is_fast(10)
    assert index.is_quick(10, plain=True) is not is_large
    assert index.search_many(index.questions) == index.expected
    index.asked.clear()

    async def scenario(searches: Searches) -> None:
        answers = await asyncio.gather(*(searches.nearest(index, q) for q in index.questions))
        assert list(answers) == index.expected
        assert await searches.nearest(index, index.questions[5]) == index.expected[5]

    with_searches(scenario)
    together = [many for many, _ in index.asked]
    assert sum(together) == 301
    assert max(together) == 16
    assert len(together) < 100
    where = {thread.startswith("lanes") for _, thread in index.asked}
    assert where == {is_large}


def test_each_is_answered_by_the_index_it_asked() -> None:
    """A new one takes the old one's place while questions to both are under way."""
    first, second = Counted(), Counted()
    second.remove("s1", 2)
    question = Question(first.vectors[1], 1, ())

    async def scenario(searches: Searches) -> None:
        asked = [searches.nearest(index, question) for index in (first, second, first)]
        found = [result.hits[0].streamer_id for result in await asyncio.gather(*asked)]
        assert found[0] == found[2] == "s1"
        assert found[1] != "s1"

    with_searches(scenario)


def test_who_leaves_or_breaks_it_leaves_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    index = Counted()

    async def scenario(searches: Searches) -> None:
        tasks = [asyncio.ensure_future(searches.nearest(index, q)) for q in index.questions[:20]]
        await asyncio.sleep(0)
        tasks[3].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(answers[3], asyncio.CancelledError)
        assert answers[:3] + answers[4:] == index.expected[:3] + index.expected[4:20]
        broken = Counted()
        monkeypatch.setattr(broken, "search_many", lambda questions: 1 / 0)
        both = [searches.nearest(asked, index.questions[0]) for asked in (broken, index)]
        failed, answer = await asyncio.gather(*both, return_exceptions=True)
        assert isinstance(failed, ZeroDivisionError)
        assert answer == index.expected[0]
        assert await searches.nearest(index, index.questions[0]) == index.expected[0]

    with_searches(scenario)
