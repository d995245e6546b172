"""How deep a question goes, what it leaves out, and where that is worked out; without a server."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import numpy as np
import pytest

from service.errors import IndexUnavailable, InvalidRequest
from service.index.filters import Condition, Filter
from service.index.milvus import answering, merging
from service.index.milvus.base import Served
from service.index.milvus.index import MilvusIndex
from service.index.query import Query, ScoringSpec
from service.index.work import Inline
from tests.service.index.asked import now
from tests.service.index.milvus.without_server import DIM, LEFT_OUT, Alone

T = TypeVar("T")
MOST = 40
FIRST = np.eye(1, DIM, dtype=np.float32)[0]


class Watched(Inline):
    """Keeps what calls are expected to cost, and may do something before.

    Attributes:
        costs: in milliseconds.
        before: what is done before the first call.
        is_inside: whether one is being made.
    """

    def __init__(self) -> None:
        self.costs: list[float] = []
        self.before: Coroutine[Any, Any, None] | None = None
        self.is_inside = False

    async def run(self, call: Callable[[], T], cost_ms: float) -> T:
        self.costs.append(cost_ms)
        before, self.before = self.before, None
        if before is not None:
            await before
        self.is_inside = True
        try:
            return call()
        finally:
            self.is_inside = False


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Milvus tells few hits."""
    monkeypatch.setattr(merging, "MOST_BYTES", MOST * 512)


def watched() -> tuple[Alone, Watched]:
    alone, work = Alone(), Watched()
    alone.index = MilvusIndex([alone.base], work=work)
    return alone, work


@pytest.mark.usefixtures("shallow")
def test_who_settles_between_two_searches_is_not_missing() -> None:
    async def ask() -> None:
        alone = Alone()
        rows = [alone.write("far", language="zh")]
        rows += [alone.write(f"s{i}") for i in (2, 3)]
        rows.append(alone.write("near", language="zh"))
        rows += [alone.write(f"s{i}") for i in range(5, 200)]  # 48 of them are as near
        alone.memory.insert(rows, ())
        await alone.serve(1)

        def settle() -> None:
            if LEFT_OUT.search(alone.memory.asked[-1].expression):
                now(alone.serve(4))

        alone.memory.during = settle
        wanted = Filter([Condition("language", any=["zh"])])
        assert await alone.found(2, filter=wanted) == {"near", "far"}
        assert LEFT_OUT.search(alone.memory.asked[-1].expression)

    asyncio.run(ask())


@pytest.mark.usefixtures("shallow")
def test_what_this_process_does_not_know_yet_is_left_out_of_no_search() -> None:
    async def ask() -> None:
        alone = Alone()
        rows = [alone.write(f"s{i}") for i in range(1, 200)]
        alone.memory.insert(rows, ())
        await alone.serve(199)
        nearest = (2 * FIRST).astype("<f4").tobytes()
        alone.memory.insert(
            [rows[0]._replace(streamer_id="new", version=200, embedding=nearest)], ()
        )
        gone = {f"s{i}" for i in range(4, 200, 4)}
        await alone.found(2, exclude=gone)
        left_out = [LEFT_OUT.search(asked.expression) for asked in alone.memory.asked]
        assert any(left_out)
        assert not any("200" in found[1] for found in left_out if found)

    asyncio.run(ask())


@pytest.mark.usefixtures("shallow")
def test_many_who_are_excluded_are_left_out_from_the_start() -> None:
    async def ask() -> None:
        alone, work = watched()
        alone.memory.insert([alone.write(f"s{i}") for i in range(100)], ())
        await alone.serve(100)
        gone = [f"s{i}" for i in range(60)]
        assert len(await alone.found(10, exclude=[*gone, "nobody"]) - set(gone)) == 10
        (asked,) = alone.memory.asked
        assert str([*range(1, 61)]) in asked.expression
        assert len(work.costs) == 3  # who they are, the expression, the merge

    asyncio.run(ask())


@pytest.mark.usefixtures("shallow")
def test_more_can_be_excluded_if_they_are_not_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "MOST_EXCLUDED", 50)

    async def ask() -> None:
        alone = Alone()
        alone.memory.insert([alone.write(f"s{i}") for i in range(1, 101)], ())
        await alone.serve(100)
        far = [f"s{i}" for i in range(1, 101) if i % DIM]
        assert len(await alone.found(5, exclude=far)) == 5
        with pytest.raises(InvalidRequest, match=r"95 streamers.* at most 50") as error:
            await alone.found(5, exclude=[f"s{i}" for i in range(1, 96)])
        assert error.value.errors[0].pointer == "/exclude"

    asyncio.run(ask())


@pytest.mark.usefixtures("shallow")
def test_no_more_is_left_out_for_a_filter_than_for_who_is_excluded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answering, "MOST_EXCLUDED", 90)

    async def ask() -> None:
        alone = Alone()
        rows = [alone.write("far", language="zh")]
        rows += [alone.write(f"s{i}") for i in range(1, 200)]
        rows.append(alone.write("farthest", language="zh"))
        alone.memory.insert(rows, ())  # whose filter lets everyone through
        await alone.serve(201)
        with pytest.raises(InvalidRequest, match="more than 90 streamers"):
            await alone.found(2, filter=Filter([Condition("language", any=["zh"])]))

    asyncio.run(ask())


@pytest.mark.usefixtures("shallow")
def test_too_many_old_versions_are_a_failure_that_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answering, "MOST_EXCLUDED", 60)

    async def ask() -> None:
        alone = Alone()
        *old, newest = [alone.write("s0") for _ in range(400)]
        alone.memory.insert([*old, newest], ())
        await alone.serve(400)
        with pytest.raises(IndexUnavailable, match="once they have been deleted"):
            await alone.found(exact=True)
        alone.memory.rows = {400: newest}
        assert await alone.found(exact=True) == {"s0"}

    asyncio.run(ask())


@pytest.mark.usefixtures("shallow")
def test_the_deepest_that_can_be_told_is_told() -> None:
    async def ask() -> None:
        alone = Alone()
        alone.memory.insert([alone.write(f"s{i}") for i in range(100)], ())
        await alone.serve(100)
        query = Query(ScoringSpec.nearest(FIRST), exact=True)
        deepest = alone.index.deepest(query)
        assert deepest == MOST - 32
        assert len(await alone.found(deepest, exact=True, exclude=["s3"])) == deepest

    asyncio.run(ask())


def test_of_equal_ones_the_first_by_their_ids_are_told() -> None:
    async def ask() -> None:
        alone = Alone()
        names = {i: f"s{400 - i}" for i in range(1, 201)}
        alone.memory.insert([alone.write(name) for name in names.values()], ())
        await alone.serve(200)
        equal = sorted(name for i, name in names.items() if i % DIM == 0)
        assert await alone.found(3, exact=True) == set(equal[:3])
        assert [asked.limit for asked in alone.memory.asked] == [35, 140]
        await alone.found(3)  # it may miss some
        assert alone.memory.asked[-1].limit == 35

    asyncio.run(ask())


def test_a_collection_that_is_replaced_before_the_merge_is_asked_again() -> None:
    async def ask() -> None:
        alone, work = watched()
        alone.memory.insert([alone.write("s0")], ())
        await alone.serve(1)
        work.before = alone.base.serve(Served("d", 1))
        assert await alone.found(exact=True) == {"s0"}
        first, second = alone.memory.asked
        assert (first.collection, second) == ("c", first._replace(collection="d"))

    asyncio.run(ask())


def test_answers_are_put_in_order_where_they_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    best: Any = answering.best

    async def ask() -> None:
        alone, work = watched()

        def ordered(scores: dict[str, float], k: int | None) -> Any:
            assert work.is_inside
            return best(scores, k)

        monkeypatch.setattr(answering, "best", ordered)
        rows = [alone.write(f"s{i}") for i in range(1, 1001)]
        alone.memory.insert(rows[:700], ())
        await alone.serve(700)
        query = Query(ScoringSpec.nearest(FIRST), 3, min_score=0.5)
        found = await alone.index.matches(query)
        assert list(found.ids) == sorted(f"s{i}" for i in range(DIM, 1001, DIM))
        assert [hit.streamer_id for hit in (await alone.index.search(query)).hits] == found.ids[:3]
        everyone, *_ = work.costs
        assert everyone > 1  # a millisecond: in a thread

    asyncio.run(ask())


def test_one_search_is_enough_that_finds_all_who_are_let_through() -> None:
    async def ask() -> None:
        alone = Alone()
        alone.memory.insert([alone.write(f"s{i}", language="zh") for i in range(60)], ())
        await alone.serve(60)
        alone.write("s1", language="en")
        wanted = Filter([Condition("language", any=["zh"])])
        some = await alone.found(50, filter=wanted)
        assert len(some) == 50
        assert "s1" not in some
        assert [asked.limit for asked in alone.memory.asked] == [82]

    asyncio.run(ask())


@pytest.mark.usefixtures("shallow")
def test_a_filter_is_written_out_once_and_not_on_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expression, written = answering.expression, list[Filter]()

    async def ask() -> None:
        alone, work = watched()

        def told(wanted: Filter) -> str:
            assert work.is_inside
            written.append(wanted)
            return expression(wanted)

        monkeypatch.setattr(answering, "expression", told)
        rows = [alone.write("far", language="zh")]
        rows += [alone.write(f"s{i}") for i in range(1, 200)]
        alone.memory.insert(rows, ())
        await alone.serve(200)
        wanted = Filter([Condition("language", any=["zh", *(f"l{i}" for i in range(5000))])])
        assert await alone.found(2, filter=wanted) == {"far"}
        assert len(alone.memory.asked) > 1
        assert written == [wanted]
        assert work.costs[0] > 5  # milliseconds

    asyncio.run(ask())


def test_filters_cost_what_they_cost_in_memory() -> None:
    async def ask() -> None:
        alone, work = watched()
        alone.memory.insert([alone.write("s0")], ())
        await alone.serve(1)
        wanted = Filter([Condition("language", any=[f"l{i}" for i in range(5000)])])
        await alone.found(filter=wanted)
        await alone.index.let_through(["s0"], wanted)
        assert min(work.costs) > 5  # milliseconds: not on the event loop

    asyncio.run(ask())
