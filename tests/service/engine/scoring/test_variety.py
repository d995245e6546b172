"""Varied rankings against plain loops and determinants, and what they cost."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.engine.scoring.variety import OWN_SHARE, determinantal, marginally_relevant
from service.engine.work.lanes import run_to_end


def similarities(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """The positive definite matrix (N, N) that `determinantal` never makes as a whole."""
    cosines = np.clip(vectors.astype(np.float64) @ vectors.T.astype(np.float64), -1, 1)
    found = (1 - OWN_SHARE) * (1 + cosines) / 2
    np.fill_diagonal(found, 1.0)
    return found


def units(n: int, width: int, seed: int) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).standard_normal((n, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


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


def worth_of(
    places: list[int], scores: NDArray[np.float32], kernel: NDArray[np.float64], relevance: float
) -> float:
    """What the chosen ones are to make the highest, from the determinant itself."""
    log_determinant = np.linalg.slogdet(kernel[np.ix_(places, places)])[1]
    return relevance * float(scores[places].sum()) + (1 - relevance) * float(log_determinant)


@given(
    st.integers(1, 25), st.integers(1, 30), st.integers(2, 6), st.floats(0, 1), st.integers(0, 999)
)
def test_each_next_row_makes_the_determinant_the_highest(
    n: int, k: int, width: int, relevance: float, seed: int
) -> None:
    vectors, kernel = units(n, width, seed), similarities(units(n, width, seed))
    scores = np.random.default_rng(seed).random(n, dtype=np.float32)
    found = run_to_end(determinantal(scores, vectors, k, relevance))
    assert len(set(found)) == len(found) == min(k, n)  # also more than vectors are wide
    for step in range(len(found)):
        before = found[:step]
        worth = {
            i: worth_of([*before, i], scores, kernel, relevance)
            for i in set(range(n)) - set(before)
        }
        assert worth[found[step]] == pytest.approx(max(worth.values()), abs=1e-3)


@pytest.mark.parametrize("relevance", [0, 0.5, 0.9])
def test_the_greedy_choice_is_as_near_the_best_of_all_as_is_known(relevance: float) -> None:
    """Its volume is at least the greatest one by k! (Çivril and Magdon-Ismail 2009)."""
    for seed in range(10):
        vectors, kernel = units(12, 4, seed), similarities(units(12, 4, seed))
        scores = np.random.default_rng(seed).random(12, dtype=np.float32)
        found = run_to_end(determinantal(scores, vectors, 4, relevance))
        best = max(
            worth_of([*places], scores, kernel, relevance) for places in combinations(range(12), 4)
        )
        reached = worth_of(found, scores, kernel, relevance)
        assert reached <= best + 1e-5
        assert reached >= best - (1 - relevance) * 2 * math.log(math.factorial(4))


def test_of_the_process_one_polarity() -> None:
    vectors = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [-1, 0]], np.float32)
    scores = np.array([0.9, 0.8, 0.7, 0.2, 0.1], np.float32)
    assert run_to_end(determinantal(scores, vectors, 5, 1.0)) == [0, 1, 2, 3, 4]
    assert run_to_end(determinantal(scores, vectors, 5, 0.0))[:3] == [0, 4, 3]


def test_what_several_cover_together_adds_nothing_to_the_process() -> None:
    """Between two of three directions: as far from each as the third, and covered by both."""
    between = np.array([1, 1, 0, 0]) / np.sqrt(2)
    apart = np.array([0.55, 0, 0, np.sqrt(1 - 0.55**2)])
    vectors = np.array([[1, 0, 0, 0], [0, 1, 0, 0], between, apart], np.float32)
    scores = np.array([0.9, 0.89, 0.5, 0.2], np.float32)
    assert run_to_end(determinantal(scores, vectors, 3, 0.5)) == [0, 1, 3]


def test_no_slice_holds_more_than_a_block() -> None:
    vectors, scores = units(20_000, 8, 0), np.ones(20_000, np.float32)
    for method in (determinantal, marginally_relevant):
        slices = sum(1 for _ in method(scores, vectors, 10, 0.5))
        assert slices >= 10 * 3  # a block is 8,192
