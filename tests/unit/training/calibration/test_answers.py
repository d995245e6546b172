from dataclasses import replace

import numpy as np
import pytest

from training.calibration.answers import Answers, find_answers
from training.calibration.truth import Truth


def unit(rng: np.random.Generator, rows: int) -> np.ndarray:
    vectors = rng.standard_normal((rows, 6))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def vectors() -> np.ndarray:
    return unit(np.random.default_rng(0), 50)


def truth(queries: np.ndarray, gallery: np.ndarray, share: float = 1.0) -> Truth:
    """Right = both rows are even or both are odd."""
    return Truth(
        "right = alike",
        queries,
        gallery,
        np.ones(len(queries)),
        np.full(len(gallery), 1 / share),
        np.arange(len(queries)),
        lambda places: (queries[places][:, None] - gallery) % 2 == 0,
    )


def test_all_pairs_from_the_median_of_the_last_wanted_score_on(vectors: np.ndarray):
    queries, gallery = np.arange(9), np.arange(10, 50)
    found = find_answers(truth(queries, gallery), vectors[queries], vectors[gallery], depth=5)
    scores = vectors[queries] @ vectors[gallery].T
    floor = np.median(np.sort(scores, axis=1)[:, -5])
    assert len(found.score) == (scores >= floor).sum()
    assert (np.diff(found.score) <= 0).all()
    for query, score, right in zip(found.query, found.score, found.right, strict=True):
        place = int(np.abs(scores[query] - score).argmin())
        assert scores[query, place] == pytest.approx(score, abs=1e-6)
        assert right == ((queries[query] - gallery[place]) % 2 == 0)
    assert found.base_rate == pytest.approx(0.5)
    assert found.per_query[-1] == pytest.approx(len(found.score) / 9)


def test_nobody_answers_oneself(vectors: np.ndarray):
    everyone = np.arange(50)
    found = find_answers(truth(everyone, everyone), vectors, vectors, depth=49)
    assert len(found.score) <= 50 * 49
    assert found.score[0] < 0.9999
    assert found.base_rate == pytest.approx(24 / 49)


def test_two_streamers_are_one_pair_where_it_is_asked_for_once(vectors: np.ndarray):
    everyone = np.arange(50)
    pairs = replace(truth(everyone, everyone), once=True)
    found = find_answers(pairs, vectors, vectors, depth=25)
    scores = np.triu(vectors @ vectors.T, 1)
    assert len(found.score) == (scores[np.triu_indices(50, 1)] >= found.score[-1]).sum()


def test_a_sample_of_the_gallery_stands_for_all_of_it(vectors: np.ndarray):
    queries, gallery = np.arange(9), np.arange(10, 50)
    whole = find_answers(truth(queries, gallery), vectors[queries], vectors[gallery], depth=20)
    half = gallery[::2]
    part = find_answers(truth(queries, half, 0.5), vectors[queries], vectors[half], depth=20)
    assert set(part.weight) == {2.0}
    assert part.per_query[-1] == pytest.approx(whole.per_query[-1], rel=0.3)


def test_the_answers_of_some_queries():
    found = Answers(
        np.array([2, 0, 2, 1]),
        np.array([0.9, 0.8, 0.7, 0.6], np.float32),
        np.array([True, False, False, True]),
        np.ones(4),
        np.array([1.0, 2.0, 3.0]),
        np.array([10, 11, 12]),
        0.5,
    ).of(np.array([True, False, True]))
    assert found.query.tolist() == [1, 0, 1]
    assert found.right.tolist() == [True, False, False]
    assert found.query_weight.tolist() == [1, 3]
    assert found.cluster.tolist() == [10, 12]
    assert found.threshold(1) == pytest.approx(0.85)
    assert found.threshold(3) == pytest.approx(0.7)
