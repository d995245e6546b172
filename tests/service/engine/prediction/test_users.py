"""Users by inner product: exact while they are few, by codes beyond."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.engine.prediction.inner_products import Allowed, InnerProductIndex, nearest_of_all
from service.engine.prediction.users import UserIndex
from service.engine.spaces.array_file import ArrayFile
from service.engine.spaces.row_vectors import RowVectors
from service.engine.spaces.user_attributes import AttributesRead, UserAttributes
from service.index.filters import Condition, Filter
from tests.service.engine.prediction.worlds import unit


def vectors(count: int, width: int = 16, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((40, width))
    rows = centres[rng.integers(40, size=count)] + 0.5 * rng.standard_normal((count, width))
    return (rows * rng.lognormal(0, 0.5, (count, 1))).astype(np.float32)


@pytest.fixture(scope="module")
def users() -> UserIndex:
    made = vectors(2000)
    attributes = AttributesRead()
    for row in range(2000):
        attributes.put(row, {"country": "CN" if row % 3 else "TW", "level": row % 10})
    told = UserAttributes(2000)
    told.put(0, attributes.packed(0, 2000))
    return UserIndex(
        [f"u{i}" for i in range(2000)],
        RowVectors.of(made),
        vectors(50, seed=1),
        attributes=told,
    )


def naive(query: np.ndarray, left_out: frozenset[int] = frozenset()) -> list[str]:
    scores = vectors(2000) @ query
    return [f"u{i}" for i in np.argsort(-scores, kind="stable").tolist() if i not in left_out]


def test_the_users_with_the_largest_inner_products_come_first(users: UserIndex) -> None:
    query = vectors(1, seed=2)[0]
    found = users.search(query, 20)
    assert [user.user_id for user in found] == naive(query)[:20]
    assert found[0].score == pytest.approx(float((vectors(2000) @ query).max()), rel=1e-4)
    assert users.recall == 1


def test_users_are_filtered_by_attributes(users: UserIndex) -> None:
    query = vectors(1, seed=3)[0]
    wanted = Filter([Condition("country", any=["TW"]), Condition("level", gte=5)])
    others = frozenset(row for row in range(2000) if row % 3 or row % 10 < 5)
    found = users.search(query, 20, wanted=wanted)
    for _ in range(2):  # it is remembered
        found = users.search(query, 20, wanted=wanted)
        assert [user.user_id for user in found] == naive(query, others)[:20]
    first = frozenset(user.user_id for user in found[:5])
    found = users.search(query, 20, exclude=[first], wanted=wanted)
    assert [user.user_id for user in found] == naive(query, others)[5:25]
    nobody = Filter([Condition("contry", any=["TW"])])
    assert (users.search(query, 20, wanted=nobody), users.unknown(nobody)) == ([], ["contry"])
    assert len(users.search(query, 2000, wanted=wanted)) == 2000 - len(others)


def test_excluded_users_are_left_out_however_many(users: UserIndex) -> None:
    query = vectors(1, seed=3)[0]
    order = naive(query)
    for many in (1, 30, 500, 1990):
        exclude = frozenset(order[:many])
        found = users.search(query, 20, exclude=[exclude, frozenset({"stranger"})])
        assert [user.user_id for user in found] == order[many : many + 20]


@pytest.mark.parametrize("k", [600, 1000])
def test_many_users_are_found_by_codes_beside_some_who_are_excluded(
    monkeypatch: pytest.MonkeyPatch, k: int
) -> None:
    """All were looked at as soon as one user was erased."""
    few = {**(InnerProductIndex.__init__.__kwdefaults__ or {}), "exact_rows": 1000}
    monkeypatch.setattr(InnerProductIndex.__init__, "__kwdefaults__", few)
    rows, scores, scans = vectors(20_000), RowVectors.scores, list[None]()

    def counted(self: RowVectors, query: Any, rows: Any = None) -> Any:
        if rows is None:
            scans.append(None)
        return scores(self, query, rows)

    monkeypatch.setattr(RowVectors, "scores", counted)
    index = UserIndex([f"u{i}" for i in range(20_000)], RowVectors.of(rows), vectors(50, seed=1))
    query = vectors(1, seed=3)[0]
    order = [f"u{i}" for i in np.argsort(-(rows @ query)).tolist()]
    erased = [*order[:5], order[-1], "stranger"]
    found = {user.user_id for user in index.search(query, k, exclude=[erased])}
    assert len(found & set(order[5 : k + 5])) > 0.95 * len(found) == 0.95 * k
    assert not scans
    # Whoever comes next is found, too, where nobody is left of those.
    found = {user.user_id for user in index.search(query, 5, exclude=[order[:900]])}
    assert len(found & set(order[900:905])) >= 3
    assert not scans
    found = {user.user_id for user in index.search(query, 5, exclude=[order[:1500]])}
    assert found == set(order[1500:1505])


def test_scores_have_a_floor(users: UserIndex) -> None:
    query = vectors(1, seed=4)[0]
    scores = np.sort(vectors(2000) @ query)[::-1]
    floor = float((scores[6] + scores[7]) / 2)
    assert len(users.search(query, 20, min_score=floor)) == 7
    assert users.search(query, 20, min_score=float(scores[0]) + 1) == []


def test_nobody_and_fewer_than_asked_for(users: UserIndex) -> None:
    empty = UserIndex([], RowVectors.of(np.zeros((0, 16), np.float32)), vectors(5))
    assert empty.search(vectors(1)[0], 10) == []
    assert len(users.search(vectors(1)[0], 5000)) == 2000


def test_codes_find_nearly_all_with_norms_kept() -> None:
    rows, queries = vectors(20_000), vectors(100, seed=5)
    index = InnerProductIndex(RowVectors.of(rows), vectors(64, seed=6), most=100, exact_rows=1000)
    assert not index.is_exact
    assert index.recall >= 0.98
    shares = []
    for query in queries:
        best, scores = index.search(query, 100)
        exact = np.argsort(-(rows @ query))[:100]
        shares.append(len(np.intersect1d(best, exact)) / 100)
        np.testing.assert_allclose(scores, rows[best] @ query, rtol=1e-4, atol=1e-4)
        assert (np.diff(scores) <= 0).all()
    assert np.mean(shares) > 0.95
    many, _ = index.search(queries[0], 500)  # more than codes answer: exact
    assert set(many.tolist()) == set(np.argsort(-(rows @ queries[0]))[:500].tolist())


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 0.01])
def test_codes_find_nearly_all_that_are_allowed(share: float) -> None:
    rows, queries = vectors(50_000), vectors(20, seed=5)
    index = InnerProductIndex(
        RowVectors.of(rows, 1000), vectors(64, seed=6), most=100, exact_rows=20_000
    )
    assert not index.is_exact
    # Whom a filter lets through may be alike, and far from who is asked for.
    drawn = np.random.default_rng(0).random(len(rows)) < share
    for mask in (drawn, drawn & (rows[:, 0] < 0)):
        shares = []
        for query in queries:
            best, scores = index.search(query, 50, Allowed(mask))
            assert mask[best].all()
            assert (np.diff(scores) <= 0).all()
            allowed = np.flatnonzero(mask)
            exact = allowed[np.argsort(-(rows[allowed] @ query))[:50]]
            shares.append(len(np.intersect1d(best, exact)) / 50)
        assert np.mean(shares) > 0.95


@pytest.mark.slow
def test_an_index_in_a_file_answers_alike(tmp_path: Path) -> None:
    rows = vectors(140_000)
    index = InnerProductIndex(RowVectors.of(rows), vectors(64, seed=6), most=100)
    with ArrayFile(tmp_path) as file:
        kept = index.kept(index.vectors.kept(file.keep), file.keep)
    for query in vectors(5, seed=7):
        for one, other in zip(index.search(query, 30), kept.search(query, 30), strict=True):
            assert one.tolist() == other.tolist()


def test_the_recall_is_measured_over_all_rows() -> None:
    rows, probes = vectors(70_000), vectors(8, seed=6)
    index = InnerProductIndex(RowVectors.of(rows), probes, most=50, exact_rows=1000)
    shares = [
        np.isin(index.search(probe, 50)[0], np.argsort(-(rows @ probe))[:50]).mean()
        for probe in probes
    ]
    assert index.recall == pytest.approx(np.mean(shares))


def test_a_recall_that_codes_do_not_reach_scans_all() -> None:
    rows = vectors(3000)
    # All alike to 4 bits of each component, beside one that is far away.
    rows = (1 + 1e-4 * np.random.default_rng(0).standard_normal(rows.shape)).astype(np.float32)
    rows[0] = 1000
    index = InnerProductIndex(RowVectors.of(rows), vectors(64), most=50, exact_rows=1000)
    assert index.is_exact
    assert index.recall == 1


def test_neighbours_of_all_are_others() -> None:
    rows = unit(vectors(3000))
    exact, scores = nearest_of_all(rows, 5, lambda: None)
    products = rows @ rows.T
    np.fill_diagonal(products, -2)
    np.testing.assert_allclose(scores, -np.sort(-products, 1)[:, :5], atol=1e-5)
    assert not (exact == np.arange(3000)[:, None]).any()
    near, _ = nearest_of_all(rows, 5, lambda: None, exact_rows=1000)
    assert np.mean([len(np.intersect1d(a, b)) / 5 for a, b in zip(near, exact, strict=True)]) > 0.9
