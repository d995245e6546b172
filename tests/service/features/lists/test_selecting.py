"""Choice of rows: bounds by value, copies, and variety, against plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.work.lanes import run_to_end
from service.features.lists.selecting import Copies, choose, marginally_relevant, values_of
from service.index.base import Hit

HITS = [Hit(f"s{i}", 1 - i / 100) for i in range(12)]


def ids(hits: list[Hit]) -> list[str]:
    return [hit.streamer_id for hit in hits]


def test_a_value_has_no_more_rows_than_its_bound() -> None:
    values = {f"s{i}": ["a", "b"] if i % 4 == 0 else ["ab"[i % 2]] for i in range(10)}
    chosen = choose(HITS, 12, None, values, 3)
    # The last two lack it.
    assert ids(chosen.rows) == ["s0", "s1", "s2", "s3", "s6", "s10", "s11"]
    assert chosen.over_cap == 5


def test_of_a_group_the_best_alone_is_a_row() -> None:
    groups = {"s0": "g", "s3": "g", "s4": "h", "s5": "h", "s6": "seed"}
    chosen = choose(HITS, 5, Copies(groups, {"seed"}), None, 0)
    assert ids(chosen.rows) == ["s0", "s1", "s2", "s4", "s7"]
    assert chosen.copies == 3


def test_who_is_over_the_bound_does_not_take_the_place_of_its_copies() -> None:
    values = {"s0": ["a"], "s1": ["a"], "s2": ["b"]}
    groups = {"s1": "g", "s2": "g"}
    assert ids(choose(HITS[:3], 3, Copies(groups, set()), values, 1).rows) == ["s0", "s2"]


@given(st.integers(1, 30), st.integers(1, 35), st.floats(0, 1), st.integers(0, 1000))
def test_each_next_row_has_the_highest_marginal_relevance(
    n: int, k: int, relevance: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = rng.random(n, dtype=np.float32)
    found = run_to_end(marginally_relevant(scores, vectors, k, relevance))
    assert len(set(found)) == len(found) == min(k, n)
    assert found[0] == scores.argmax()
    for step in range(1, len(found)):
        before, left = found[:step], set(range(n)) - set(found[:step])
        worth = {
            i: relevance * float(scores[i])
            - (1 - relevance) * max(float(vectors[i] @ vectors[j]) for j in before)
            for i in left
        }
        assert worth[found[step]] == pytest.approx(max(worth.values()), abs=1e-5)


def test_with_lambda_one_the_order_is_that_of_the_scores() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((50, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = rng.random(50, dtype=np.float32)
    found = run_to_end(marginally_relevant(scores, vectors, 50, 1.0))
    assert found == np.argsort(-scores, kind="stable").tolist()


def test_with_lambda_zero_copies_of_a_row_come_last() -> None:
    vectors = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [-1, 0]], np.float32)
    scores = np.array([0.9, 0.8, 0.7, 0.2, 0.1], np.float32)
    assert run_to_end(marginally_relevant(scores, vectors, 5, 0.0))[:3] == [0, 4, 3]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("name", ["n"]),
        ("tags", ["a", "b"]),
        ("followers", [3]),
        ("attributes.name", ["x"]),
        ("attributes.followers", [3]),
        ("regions", ["eu", "us"]),
        ("modalities_used", []),
        ("category", []),
        ("nested", []),
    ],
)
def test_fields_and_attributes_are_found_by_name(name: str, found: list[object]) -> None:
    attributes = {"followers": 3, "name": "x", "regions": ["eu", "us"], "nested": {"a": 1}}
    facets = {"name": "n", "tags": ["a", "b"], "modalities_used": 4, "attributes": attributes}
    assert values_of(facets, name) == found
