import math

import numpy as np
import pytest
import pytrec_eval
import scipy.sparse as sp

from training.evaluation.metrics import (
    hubness,
    ndcg,
    pairs_in_groups,
    pairwise_f1,
    recall,
    reciprocal_rank,
    reciprocal_rank_of_hit,
)
from training.evaluation.subject import top
from training.evaluation.tasks import ColdStartTask, HeldOut, cold_start_task, vector_task


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


def test_the_unseen_search_each_other_and_never_find_themselves():
    audience = random_audience(60, 30, 1).toarray()
    audience[40] = 0  # shares nobody, but is in the gallery all the same
    rng = np.random.default_rng(2)
    vectors = rng.standard_normal((60, 5)).astype(np.float32)
    vectors[44] = vectors[45]  # ties go to the lower place
    vectors[50] = 0
    cold = np.arange(30, 60)
    task = cold_start_task(sp.csr_matrix(audience), cold, cold)
    assert task.queries.tolist() == [row for row in cold if row != 40]
    values = task.ndcg(vectors)
    for query, value in zip(task.queries, values, strict=True):
        others = [row for row in cold if row != query]
        wanted = [row for row in others if audience[query] @ audience[row] >= 2]
        wanted.sort(
            key=lambda r: (-(audience[query] @ audience[r]) / math.sqrt(audience[r].sum()), r)
        )
        found = sorted(others, key=lambda r: (-float(vectors[query] @ vectors[r]), r))[:20]
        gain = sum(1 / math.log2(2 + i) for i, r in enumerate(found) if r in wanted[:20])
        assert value == pytest.approx(
            gain / sum(1 / math.log2(2 + i) for i in range(len(wanted[:20])))
        )
    for depth in (3, 29, 100):
        ranking = task.ranking(vectors, depth=depth)
        assert ranking.shape == (29, min(depth, 29))
        assert not (ranking == (task.queries - 30)[:, None]).any()


def test_by_id_embeddings_the_unseen_are_not_relevant_to_themselves():
    vectors = np.random.default_rng(3).standard_normal((9, 4)).astype(np.float32)
    rows = np.array([2, 5, 8])
    task = vector_task(vectors, rows, rows)
    assert [sorted(found.tolist()) for found in task.relevant] == [[1, 2], [0, 2], [0, 1]]
    alone = vector_task(vectors, rows[:1], rows[:1])
    assert not len(alone.queries)


def test_steps_are_chosen_on_both_galleries_alike():
    audience = random_audience(60, 30, 0)
    vectors = np.random.default_rng(1).standard_normal((60, 5)).astype(np.float32)
    cold, warm = np.arange(40, 60), np.arange(40)
    seen, unseen = (cold_start_task(audience, cold, gallery) for gallery in (warm, cold))
    mean = (seen.ndcg(vectors).mean() + unseen.ndcg(vectors).mean()) / 2
    assert HeldOut(seen, unseen).ndcg(vectors) == pytest.approx(mean)
    nobody = ColdStartTask(cold[:0], warm, [])
    assert HeldOut(seen, nobody).ndcg(vectors) == pytest.approx(seen.ndcg(vectors).mean())
    assert math.isnan(HeldOut(nobody, nobody).ndcg(vectors))


def test_rankings_are_measured_as_trec_eval_does():
    rng = np.random.default_rng(0)
    gallery = 150
    scores = rng.random((40, gallery)).astype(np.float32)
    relevant = [rng.choice(gallery, n, replace=False) for n in rng.integers(1, 21, 40)]
    ranking = top(scores, np.eye(gallery, dtype=np.float32), 100)
    wanted = {str(q): {str(p): 1 for p in places.tolist()} for q, places in enumerate(relevant)}
    run = {
        str(q): {str(place): float(scores[q, place]) for place in places.tolist()}
        for q, places in enumerate(ranking)
    }
    names = {"ndcg_cut.10,20,100", "recall.10,20,100", "recip_rank"}
    expected = pytrec_eval.RelevanceEvaluator(wanted, names).evaluate(run)

    def theirs(name: str) -> list[float]:
        return [expected[str(q)][name] for q in range(40)]

    for depth in (10, 20, 100):
        ours = ndcg(ranking, relevant, depth), recall(ranking, relevant, depth)
        np.testing.assert_allclose(ours[0], theirs(f"ndcg_cut_{depth}"), atol=1e-9)
        np.testing.assert_allclose(ours[1], theirs(f"recall_{depth}"), atol=1e-9)
    np.testing.assert_allclose(
        reciprocal_rank_of_hit(ranking, relevant), theirs("recip_rank"), atol=1e-9
    )


def test_recall_counts_what_was_found():
    ranking = np.array([[4, 2, 9], [1, 0, 3]])
    assert recall(ranking, [np.array([2, 7]), np.array([0, 1, 3])]).tolist() == [0.5, 1.0]


def test_ties_at_the_cut_go_to_the_lower_place():
    gallery = np.random.default_rng(0).integers(0, 3, (200, 1)).astype(np.float32)
    expected = np.argsort(-gallery[:, 0], kind="stable")[:20]
    assert top(np.ones((1, 1), np.float32), gallery, 20)[0].tolist() == expected.tolist()
    assert top(np.zeros((1, 1), np.float32), gallery, 20)[0].tolist() == list(range(20))


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
    assert reciprocal_rank(first, second).tolist() == [1.0, 1 / 2.5, 0.5]  # the second with a tie


def test_rows_that_can_not_be_told_apart_share_the_mean_of_their_ranks():
    same = np.ones((5, 2), np.float32)
    assert reciprocal_rank(same, same).tolist() == [1 / 3] * 5


def test_hubness_tells_a_hub_from_even_use():
    even = np.arange(100).reshape(10, 10)
    hub = even.copy()
    hub[:, 0] = 0
    assert hubness(even, 100) == 0
    assert hubness(hub, 100) > 5


def test_pairs_and_their_f1():
    groups = np.array([0, 0, 1, 2, 2, 2])
    assert pairs_in_groups(groups) == 4  # (0, 1), (3, 4), (3, 5), (4, 5)
    assert pairs_in_groups(groups[[0, 3, 5]]) == 1
    assert pairs_in_groups(np.zeros(1_000_000, np.int64)) == 499_999_500_000
    assert pairwise_f1(2, 3, 4) == pytest.approx(2 * 2 / (3 + 4))
    assert pairwise_f1(0, 0, 0) == 1
