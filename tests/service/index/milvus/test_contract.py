"""The index protocol, asked of both indexes: Milvus answers as a scan of all rows does."""

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from service.engine.projection.inserting import inserted
from service.errors import IndexUnavailable, InvalidRequest, NotReady
from service.index.base import Row
from service.index.filters import Condition, Filter
from service.index.milvus.base import Served
from service.index.milvus.tokens import IS_ESTABLISHED, expression
from service.index.query import Query, ScoringSpec
from tests.service.index.faiss.records import unit
from tests.service.index.milvus.twins import DIM, Twins, facets, populate
from tests.service.milvus_server import MilvusServer
from tests.service.process import wait_until

pytestmark = [pytest.mark.milvus, pytest.mark.slow]
COUNT = 1200


@pytest.fixture(scope="module")
def twins(milvus: MilvusServer) -> Iterator[Twins]:
    established = frozenset(f"s{i}" for i in range(0, COUNT, 20)) | {"new1", "unknown"}
    twins = Twins(milvus.uri, established)
    populate(twins, np.random.default_rng(3), COUNT)
    yield twins
    twins.close()


def nearest(rng: np.random.Generator, k: int = 10, **options: Any) -> Query:
    return Query(ScoringSpec.nearest(unit(rng, DIM)), k, **options)


def test_what_is_new_replaced_and_deleted(twins: Twins) -> None:
    assert twins.milvus.count == twins.faiss.count
    assert 0 < twins.milvus.overlay_rows < twins.milvus.count / 2
    rng = np.random.default_rng(1)
    for k in (1, 3, 10, 100, 1000, 2000):
        twins.compare(nearest(rng, k, exact=True))
        plain = twins.compare(nearest(rng, k))  # all lists are looked into here
        assert not plain.exact


def test_the_streamer_itself_is_nearest(twins: Twins) -> None:
    for name in ("s7", "s10", "s4", "new3", "s5"):  # settled, written, only new, new, came again
        stored = twins.run(twins.milvus.vector(name))
        assert stored is not None
        assert stored.embedding is not None
        found = twins.compare(Query(ScoringSpec.nearest(stored.embedding), 1))
        assert found.hits[0].streamer_id == name


def test_options(twins: Twins) -> None:
    rng = np.random.default_rng(2)
    many = [f"s{i}" for i in range(0, COUNT, 2)]
    for exclude in (["s1", "nobody"], many, {f"s{i}" for i in range(COUNT)}):
        twins.compare(nearest(rng, exclude=exclude))
    twins.compare(nearest(rng, 50, established_only=True))
    twins.compare(nearest(rng, 500, established_only=True, exclude=many[:20]))
    for min_score in (-1.1, 0.0, 0.31, 0.9, 1.5):
        twins.compare(nearest(rng, min_score=min_score))


@pytest.mark.parametrize("strategy", ["average", "best_score", "sum"])
@pytest.mark.parametrize("weights", [(1, 1, 1), (2.0, 0.5, -1), (1, -1, -0.2), (0.1, 3, -5)])
def test_strategies(twins: Twins, strategy: Any, weights: tuple[float, ...]) -> None:
    rng = np.random.default_rng(4)
    for min_score in (None, 0.2):
        scoring = ScoringSpec(unit(rng, 3, DIM), weights, strategy)
        twins.compare(Query(scoring, 20, min_score=min_score))
        wanted = Filter([Condition("language", any=["zh"])])
        twins.compare(Query(scoring, 20, min_score=min_score, filter=wanted, exclude=["s8"]))
        if min_score is not None:
            assert twins.compare_matches(Query(scoring, 1, min_score=min_score)) > 0


def random_condition(rng: np.random.Generator) -> Condition:
    sample = facets(rng)
    names = ["language", "category", "tags", "views", "attributes.tags", "nothing", "streamer_id"]
    pool = [*sample["attributes"].items(), *((n, sample.get(n)) for n in names[:3])]
    field, value = pool[rng.integers(len(pool))] if rng.random() < 0.8 else ("", None)
    if value is None:
        field, value = names[rng.integers(len(names))], f"s{rng.integers(COUNT)}"
    others = [facets(rng)["attributes"].get("x"), 3, "t1", "zh", True, f"s{rng.integers(COUNT)}"]
    several = [*(value if isinstance(value, list) else [value])]
    several += [v for v in others if v is not None and rng.random() < 0.4]
    kind = rng.integers(4)
    if kind == 0:
        return Condition(field, all=several[: 1 + rng.integers(3)])
    if kind == 1 or (field in ("tags", "language", "category") and rng.random() < 0.8):
        return Condition(field, any=several)
    field = ("views", "x", "y", field)[rng.integers(4)]
    low = float(rng.integers(-10, 900)) if rng.random() < 0.7 else 2**53 + int(rng.integers(2))
    bounds: dict[str, Any] = {("gt", "gte")[rng.integers(2)]: low}
    if rng.random() < 0.5:
        bounds[("lt", "lte")[rng.integers(2)]] = low + float(rng.integers(0, 300))
    if kind == 3:
        bounds["any"] = several
    return Condition(field, **bounds)


def test_300_random_filters(twins: Twins) -> None:
    rng = np.random.default_rng(6)
    some = 0
    for _ in range(300):
        must = [random_condition(rng) for _ in range(rng.integers(0, 3))]
        must_not = [random_condition(rng) for _ in range(rng.integers(0, 3))]
        wanted = Filter(must, must_not)
        found = twins.compare(nearest(rng, 30, filter=wanted))
        some += 0 < found.reached < twins.milvus.count
        ids = [f"s{i}" for i in rng.integers(0, COUNT, 20)]
        assert twins.run(twins.milvus.let_through(ids, wanted)) == twins.run(
            twins.faiss.let_through(ids, wanted)
        )
    assert some > 100


def test_the_filter_is_the_collections(twins: Twins) -> None:
    # Not what this process knows of the facets: then the collection would be read to its end.
    wanted = Filter(
        [Condition("language", any=["zh"]), Condition("views", gte=100, lt=300)],
        [Condition("tags", any=["t1"])],
    )
    everyone = twins.call(lambda c: c.count())
    let_through = twins.call(lambda c: c.count(expression(wanted)))
    assert 0 < let_through < everyone / 4
    both = let_through + twins.call(lambda c: c.count(f"not ({expression(wanted)})"))
    assert both == everyone


def test_counts_and_rows(twins: Twins) -> None:
    wanted = Filter([Condition("views", gt=500)])
    fields = ["language", "tags", "views", "nothing"]
    ours = twins.run(twins.milvus.facet_counts(wanted, fields, 10))
    assert ours == twins.run(twins.faiss.facet_counts(wanted, fields, 10))
    names = ["s1", "s3", "s5", "s50", "new0", "nobody"]
    for mine, other in zip(
        twins.run(twins.milvus.get(names)), twins.run(twins.faiss.get(names)), strict=True
    ):
        assert_same_row(mine, other)
        if other is not None:
            known = twins.run(twins.milvus.vector(other.streamer_id))
            expected = twins.run(twins.faiss.vector(other.streamer_id))
            assert known is not None
            assert expected is not None
            assert known[1:] == expected[1:]

    async def versions(index: Any) -> dict[str, int]:
        return {row.streamer_id: row.version async for row in index.rows()}

    assert twins.run(versions(twins.milvus)) == twins.run(versions(twins.faiss))


def assert_same_row(mine: Row | None, other: Row | None) -> None:
    assert (mine is None) == (other is None)
    if mine is None or other is None:
        return
    assert (mine.streamer_id, mine.version, mine.facets) == (
        other.streamer_id,
        other.version,
        other.facets,
    )
    for ours, theirs in ((mine.embedding, other.embedding), (mine.content, other.content)):
        assert (ours is None) == (theirs is None)
        assert ours is None or theirs is None or np.array_equal(ours, theirs)


def test_another_collection_takes_its_place(twins: Twins) -> None:
    rng = np.random.default_rng(8)
    before, settled = twins.name, twins.settled
    twins.name = f"{before}_next"
    twins.call(lambda c: c.create())
    try:
        twins.unwritten = [r for r in twins.stored.newest.values() if r.embedding]
        twins.project()
        twins.settle()
        assert twins.milvus.overlay_rows == 0
        twins.compare(nearest(rng, 50))
        twins.name = before
        twins.settled = settled  # what is newer than the old one is read from the store
        twins.adopt()
        assert twins.milvus.overlay_rows > 0
        twins.compare(nearest(rng, 50))
    finally:
        twins.name = before
        twins.run(twins.connection.call(f"{before}_next", lambda c: c.drop()))
        twins.settled = settled
        twins.adopt()


def test_no_room_for_what_is_new(milvus: MilvusServer) -> None:
    twins = Twins(milvus.uri, most_rows=100)
    rng = np.random.default_rng(9)
    try:
        twins.adopt()
        for i in range(100):
            twins.write(f"s{i}", unit(rng, DIM), {})
        twins.compare(nearest(rng))
        twins.write("s100", unit(rng, DIM), {})
        with pytest.raises(NotReady, match="STREAMER_MILVUS__OVERLAY_ROWS"):
            twins.run(twins.milvus.search(nearest(rng)))
        twins.project()
        twins.settle()
        twins.compare(nearest(rng, 101))
    finally:
        twins.close()


def test_a_collection_that_is_not_there(twins: Twins) -> None:
    rng = np.random.default_rng(10)
    twins.run(twins.base.serve(Served("nobody", twins.settled)))
    try:
        with pytest.raises(IndexUnavailable, match="no collection nobody"):
            twins.run(twins.milvus.search(nearest(rng)))
    finally:
        twins.adopt()
    twins.compare(nearest(rng))


def test_more_than_milvus_tells(milvus: MilvusServer) -> None:
    twins = Twins(milvus.uri)
    rng = np.random.default_rng(11)
    try:
        for i in range(17_000):
            twins.write(f"s{i}", unit(rng, DIM), {})
        twins.project()
        twins.settle()
        with pytest.raises(InvalidRequest, match="higher min_score"):
            twins.run(twins.milvus.search(nearest(rng, min_score=-1.1)))
        twins.compare(nearest(rng, min_score=0.2))
        deepest = twins.milvus.deepest(nearest(rng))
        assert deepest == 16_352
        twins.compare(nearest(rng, deepest, exact=True, exclude=["s0"]))
        gone = {f"s{i}" for i in range(16_900)}  # more than one search can tell
        twins.compare(nearest(rng, exclude=gone))
    finally:
        twins.close()


def test_a_collection_that_misses_too_many(milvus: MilvusServer) -> None:
    twins = Twins(milvus.uri, probes=1)
    rng = np.random.default_rng(12)
    try:
        for i in range(4000):
            twins.write(f"s{i}", unit(rng, DIM), {})
        twins.project()
        twins.call(lambda c: c.flush())  # and an index is built of it, some time later
        twins.settle()

        def is_refused() -> bool:
            found = twins.run(twins.milvus.search(nearest(rng, 50)))
            assert found.exact == (twins.milvus.state().refused is not None)
            twins.milvus.check_recall()
            return found.exact

        wait_until(is_refused, "it misses too many", 240, every_s=0)
        state = twins.milvus.state()
        assert state.refused is not None
        assert "below the floor of 0.95" in state.refused
        assert state.served_recall is not None
        assert state.served_recall < 0.95
        twins.compare(nearest(rng, 50))
    finally:
        twins.close()


def test_rows_that_are_written_again_are_never_missing_and_there_once(milvus: MilvusServer) -> None:
    established = frozenset(f"s{i}" for i in range(0, 2000, 2))
    twins = Twins(milvus.uri)
    rng = np.random.default_rng(14)
    try:
        for i in range(2000):
            twins.write(f"s{i}", unit(rng, DIM), {})
        rows = [*twins.unwritten]
        twins.project()
        twins.settle()

        async def write_again() -> None:
            for start in range(0, 2000, 100):
                some = rows[start : start + 100]
                await inserted(twins.connection, twins.name, some, established, are_new=False)

        async def ask() -> list[int]:
            writing, found = asyncio.create_task(write_again()), list[int]()
            while not writing.done():
                answer = await twins.milvus.matches(nearest(rng, min_score=-1.1))
                found.append(len(answer.ids))
            await writing
            return found

        assert set(twins.run(ask())) == {2000}
        assert twins.call(lambda c: c.count()) == 2000
        assert twins.call(lambda c: c.count(IS_ESTABLISHED)) == 1000
        twins.settle()
        found = twins.call(lambda c: c.search(unit(rng, 1, DIM), 2000, exact=True))
        assert len(found[0].ids) == 2000
    finally:
        twins.close()


def test_ranges_beyond_what_float64_holds(milvus: MilvusServer) -> None:
    twins = Twins(milvus.uri)
    rng = np.random.default_rng(15)
    try:
        for i in range(3000):  # more than one search tells would be left out one by one
            twins.write(f"s{i}", unit(rng, DIM), {"attributes": {"id": 2**60 + i, "huge": 10**400}})
        twins.project()
        twins.settle()
        for bound in (2**60 + 2900, 2**60 + 2901, 2**60 - 1):
            for sign in ("gt", "gte", "lt", "lte"):
                bounds: Any = {sign: bound}
                condition = Condition("id", **bounds)
                twins.compare(nearest(rng, 5, filter=Filter([condition])))
                twins.compare(nearest(rng, 5, filter=Filter(must_not=[condition])))
        few = Filter([Condition("id", gt=2**60 + 2900)])
        assert twins.call(lambda c: c.count(expression(few))) < 400
        twins.compare(nearest(rng, 5, filter=Filter([Condition("huge", gt=2**60)])))
    finally:
        twins.close()


def test_rows_that_milvus_refuses(milvus: MilvusServer) -> None:
    twins = Twins(milvus.uri)
    rng = np.random.default_rng(13)
    try:
        for i in range(10):
            many = {f"n{j}": j for j in range(5000)} if i == 4 else {}  # more tokens than fit
            twins.write(f"s{i}", unit(rng, DIM), {"attributes": many})
        refused = twins.run(inserted(twins.connection, twins.name, twins.unwritten, ()))
        assert refused == [5]
        assert sorted(twins.call(lambda c: c.versions(0, 100))) == [1, 2, 3, 4, 6, 7, 8, 9, 10]
    finally:
        twins.close()
