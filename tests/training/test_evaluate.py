import math

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import ndcg_score

from training.evaluation.metrics import (
    hubness,
    ndcg,
    pairs_of_groups,
    pairwise_f1,
    recall,
    reciprocal_rank,
)
from training.evaluation.ranking import top
from training.evaluation.statistics import interval
from training.evaluation.tasks import cold_start_task, vector_task


def random_audience(streamers: int, users: int, seed: int) -> sp.csr_matrix:
    rng = np.random.default_rng(seed)
    return sp.csr_matrix((rng.random((streamers, users)) < 0.25).astype(np.float32))


def test_relevant_are_the_nearest_audiences_that_share_two_users():
    audience = random_audience(60, 30, 0)
    queries, gallery = np.arange(50, 60), np.arange(50)
    task = cold_start_task(audience, queries, gallery)
    dense = audience.toarray()
    for query, found in zip(task.queries, task.relevant, strict=True):
        scored = []
        for place, other in enumerate(gallery):
            shared = float(dense[query] @ dense[other])
            if shared >= 2:
                scored.append((-shared / math.sqrt(dense[other].sum()), place))
        assert found.tolist() == [place for _, place in sorted(scored)[:20]]


def test_queries_without_anything_relevant_are_left_out():
    audience = sp.csr_matrix(np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], np.float32))
    task = cold_start_task(audience, np.array([1, 2]), np.array([0]))
    assert task.queries.tolist() == [1]


def test_ndcg_agrees_with_an_independent_library():
    rng = np.random.default_rng(0)
    scores = rng.random((8, 40))
    relevant = [rng.choice(40, n, replace=False) for n in (1, 3, 5, 10, 15, 20, 20, 2)]
    gains = np.array([np.isin(np.arange(40), w) for w in relevant]).astype(float)
    ranking = np.argsort(-scores, 1)[:, :20]
    expected = [ndcg_score(gains[i : i + 1], scores[i : i + 1], k=20) for i in range(8)]
    np.testing.assert_allclose(ndcg(ranking, relevant), expected)


def test_recall_counts_what_was_found():
    ranking = np.array([[4, 2, 9], [1, 0, 3]])
    assert recall(ranking, [np.array([2, 7]), np.array([0, 1, 3])]).tolist() == [0.5, 1.0]


def test_ties_go_to_the_lower_place():
    gallery = np.array([[1], [2], [1], [0], [2], [0]], np.float32)
    assert top(np.ones((1, 1), np.float32), gallery, 4).tolist() == [[1, 4, 0, 2]]


@pytest.mark.parametrize("sparse", [False, True])
def test_the_best_are_those_of_a_full_sort(sparse: bool):
    rng = np.random.default_rng(0)
    queries, gallery = (rng.random((n, 5)).astype(np.float32) for n in (700, 90))
    expected = np.argsort(-queries @ gallery.T, axis=1)[:, :20]
    found = (
        top(sp.csr_matrix(queries), sp.csr_matrix(gallery), 20)
        if sparse
        else top(queries, gallery, 20)
    )
    np.testing.assert_array_equal(found, expected)


def test_a_small_gallery_is_ranked_whole():
    assert top(np.ones((1, 1), np.float32), np.array([[1], [2]], np.float32), 20).tolist() == [
        [1, 0]
    ]


def test_known_id_vectors_can_say_what_is_relevant():
    vectors = np.eye(3, dtype=np.float32)[[0, 0, 1, 2]]
    task = vector_task(vectors, np.array([0]), np.array([1, 2, 3]))
    assert task.relevant[0][0] == 0


def test_reciprocal_rank_of_the_own_other_view():
    first = np.eye(3, dtype=np.float32)
    second = np.array([[1, 0, 0], [0.9, 0, 1], [0, 0.5, 0.2]], np.float32)
    assert reciprocal_rank(first, second).tolist() == [1.0, 0.5, 0.5]


def test_hubness_tells_a_hub_from_even_use():
    even = np.arange(100).reshape(10, 10)
    hub = even.copy()
    hub[:, 0] = 0
    assert hubness(even, 100) == 0
    assert hubness(hub, 100) > 5


def test_interval_covers_the_mean():
    values = np.random.default_rng(0).normal(0.3, 0.1, 400)
    low, high = interval(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(4 * 0.1 / 20, rel=0.2)


def test_pairs_and_their_f1():
    groups = np.array([0, 0, 1, 2, 2, 2])
    true = pairs_of_groups(groups, range(6))
    assert true == {(0, 1), (3, 4), (3, 5), (4, 5)}
    assert pairs_of_groups(groups, [0, 3, 5]) == {(3, 5)}
    assert pairwise_f1({(0, 1), (3, 4), (1, 2)}, true) == pytest.approx(2 * 2 / (3 + 4))
    assert pairwise_f1(set(), set()) == 1
