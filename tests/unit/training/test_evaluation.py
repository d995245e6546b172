"""Metrics, tasks and statistics, beside plain loops and trec_eval."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytrec_eval
import scipy.sparse as sp

from model_export.contract.streamer import StreamerProfile
from training.data import Dataset
from training.data.tables import Interactions
from training.errors import EvaluationError, OutputError, UsageError
from training.evaluation.audience import measure_audience
from training.evaluation.duplicates import measure_duplicates
from training.evaluation.labels import measure_labels
from training.evaluation.metrics import (
    b_cubed,
    hubness,
    ndcg,
    pairs_in_groups,
    pairwise_f1,
    recall,
    reciprocal_rank,
    reciprocal_rank_of_hit,
)
from training.evaluation.result import Evaluation
from training.evaluation.run import evaluate
from training.evaluation.setting import setting_of
from training.evaluation.statistics import (
    bootstrap_means,
    difference,
    holm,
    percentiles,
)
from training.evaluation.subject import (
    AudienceVote,
    Representation,
    top,
)
from training.evaluation.tasks import cold_start_task


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


def test_ties_at_the_cut_go_to_the_lower_place():
    gallery = np.random.default_rng(0).integers(0, 3, (200, 1)).astype(np.float32)
    expected = np.argsort(-gallery[:, 0], kind="stable")[:20]
    assert top(np.ones((1, 1), np.float32), gallery, 20)[0].tolist() == expected.tolist()
    assert top(np.zeros((1, 1), np.float32), gallery, 20)[0].tolist() == list(range(20))


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


def test_reciprocal_rank_of_the_own_other_view():
    first = np.eye(3, dtype=np.float32)
    second = np.array([[1, 0, 0], [0.9, 0, 1], [0, 0.5, 0.2]], np.float32)
    assert reciprocal_rank(first, second).tolist() == [1.0, 1 / 2.5, 0.5]  # the second with a tie


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


def dataset(split: list[str], **truth: Any) -> Dataset:
    ids = [f"s{i}" for i in range(len(split))]
    return Dataset(
        **{
            "folder": Path("small"),
            "profiles": [StreamerProfile(streamer_id=name) for name in ids],
            "ids": ids,
            "split": np.array(split),
            "split_given": True,
            "digest": "0",
            "spaces": {},
            **dict.fromkeys(("interactions", "relations", "id_embeddings", "duplicates", "labels")),
            **truth,
        }
    )


def watched(audience: list[list[int]]) -> Interactions:
    matrix = sp.csr_matrix(np.array(audience, np.float32))
    return Interactions(matrix, [f"u{i}" for i in range(len(audience[0]))])


def directions(*degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)


def test_an_empty_split_is_an_error():
    with pytest.raises(UsageError, match="no streamers in split val"):
        setting_of(dataset(["train", "test"]), "val")
    with pytest.raises(UsageError, match="no streamers in split train or val"):
        setting_of(dataset(["test", "test"]))


def test_users_are_voted_for_by_the_nearest():
    data = dataset(
        ["train", "train", "train", "test"],
        interactions=watched([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 1, 0], [0, 1, 0, 1]]),
    )
    # User 0 has the votes of the first two, user 1, who is wanted, that of the first alone.
    # User 3 watches nobody warm and can't be found.
    near_first = replace(
        Representation.symmetric(directions(0, 90, 180, 10)), audience_vote=AudienceVote(0.4, 0)
    )
    summary = evaluate(data, near_first).summary["audience"]
    assert summary["NDCG@50"] == pytest.approx(1 / np.log2(3))
    # By popularity users 0 and 2 come first.
    assert summary["popularity NDCG@50"] == pytest.approx(1 / np.log2(4))


@pytest.mark.parametrize("temperature", [0.05, 5.0])
@pytest.mark.parametrize("sharing", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("scale", [1, 100])
def test_a_vote_is_sharpened_and_shared_as_its_definition_says(
    temperature: float, sharing: float, scale: float
):
    rng = np.random.default_rng(3)
    audience = (rng.random((40, 30)) < 0.2).astype(np.float32)
    vectors = np.float32(scale) * rng.standard_normal((40, 4)).astype(np.float32)
    data = dataset(["train"] * 30 + ["test"] * 10, interactions=watched(audience.tolist()))
    found = measure_audience(
        setting_of(data),
        replace(
            Representation.symmetric(vectors), audience_vote=AudienceVote(temperature, sharing)
        ),
    )
    assert found is not None
    expected = []
    for row in found.queries:
        scores = vectors[row] @ vectors[:30].T
        votes = np.zeros(30)
        for user in range(30):
            for other in range(30):
                if audience[other, user] and scores[other] > 0:
                    vote = np.exp((scores[other] / scores.max() - 1) / temperature)
                    votes[user] += vote / audience[other].sum() ** sharing
        ranks = np.argsort(np.argsort(-votes, kind="stable"))
        right = sorted(ranks[user] for user in np.flatnonzero(audience[row]))
        gain = sum(1 / np.log2(2 + rank) for rank in right)
        expected.append(gain / sum(1 / np.log2(2 + i) for i in range(len(right))))
    np.testing.assert_allclose(found.per_query["NDCG@50"], expected, rtol=1e-6)


def test_labels_are_shared_by_the_nearest():
    data = dataset(["train"] * 4 + ["test"] * 3, labels=["a", "b", "a", None, "a", "c", None])
    vectors = directions(0, 10, 40, 5, 0, 0, 0)
    found = measure_labels(setting_of(data), Representation.symmetric(vectors))
    assert found is not None
    assert found.queries.tolist() == [4]  # nobody warm is labelled c
    assert found.summary["precision@20"] == pytest.approx(2 / 3)
    assert found.summary["NDCG@20"] == pytest.approx((1 + 1 / 2) / (1 + 1 / np.log2(3)))


def test_duplicates_are_pairs_that_reach_the_threshold():
    groups = np.array([0, 1, 2, 2, 3])
    data = dataset(["train", "train", "test", "test", "test"], duplicates=groups)
    vectors = directions(0, 90, 1, 2, 200)
    content = Representation(vectors, vectors, vectors, duplicate_threshold=0.99)
    found = measure_duplicates(setting_of(data), content)
    assert found is not None
    # Found: (0, 2), (0, 3), (2, 3); right: (2, 3).
    assert found.summary["pairwise F1"] == pytest.approx(2 * 1 / (3 + 1))
    assert found.per_query["B3 precision"] == pytest.approx([2 / 3, 2 / 3, 1])
    assert found.per_query["B3 recall"] == pytest.approx([1, 1, 1])
    precision = 7 / 9
    assert found.summary["B3"] == pytest.approx(2 * precision / (precision + 1))


@pytest.mark.parametrize("sparse", [False, True])
def test_a_threshold_is_chosen_on_the_gallery(sparse: bool):
    groups = np.array([0, 0, 1, 2, 3, 3])
    data = dataset(["train"] * 4 + ["test"] * 2, duplicates=groups)
    vectors = directions(0, 5, 40, 90, 200, 205)
    each = sp.csr_matrix(vectors) if sparse else vectors
    found = measure_duplicates(setting_of(data), Representation.symmetric(each))
    assert found is not None
    assert found.summary["pairwise F1"] == 1
    assert np.cos(np.radians(35)) < found.summary["threshold"] < np.cos(np.radians(5))


def test_b_cubed_is_the_mean_over_pairs_of_each_row():
    rng = np.random.default_rng(0)
    found, true = rng.integers(0, 6, 30), rng.integers(0, 8, 30)
    precision, recall = b_cubed(found, true)
    for i in range(30):
        together = [j for j in range(30) if found[i] == found[j]]
        alike = [j for j in range(30) if true[i] == true[j]]
        both = len(set(together) & set(alike))
        assert precision[i] == pytest.approx(both / len(together))
        assert recall[i] == pytest.approx(both / len(alike))


@pytest.mark.parametrize("sparse", [False, True])
def test_alignment_and_uniformity_are_those_of_their_definition(world: Dataset, sparse: bool):
    vectors = np.random.default_rng(1).standard_normal((len(world.ids), 6)).astype(np.float32)
    vectors[world.rows("test")[0]] = 0
    each = sp.csr_matrix(vectors) if sparse else vectors
    found = evaluate(world, Representation.symmetric(each)).summary["vectors"]
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    cold = unit[world.rows("test")[1:]]
    pairs = [
        np.exp(-2 * ((cold[i] - cold[j]) ** 2).sum())
        for i in range(len(cold))
        for j in range(len(cold))
        if i != j
    ]
    assert found["uniformity"] == pytest.approx(np.log(np.mean(pairs)), rel=1e-4)
    task = setting_of(world).seen
    assert task is not None
    distances = [
        np.mean(((unit[query] - unit[task.gallery[wanted]]) ** 2).sum(1))
        for query, wanted in zip(task.queries, task.relevant, strict=True)
        if query != world.rows("test")[0]
    ]
    assert found["alignment"] == pytest.approx(np.mean(distances), rel=1e-4)


@pytest.fixture(scope="module")
def evaluation(world: Dataset) -> Evaluation:
    vectors = np.random.default_rng(0).standard_normal((len(world.ids), 8)).astype(np.float32)
    return evaluate(world, Representation.symmetric(vectors), subject="random", seed=4)


def test_saved_and_read_is_the_same(evaluation: Evaluation, tmp_path: Path):
    path = tmp_path / "metrics.json"
    evaluation.save(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["metrics.json", "metrics.per_query.npz"]
    again = Evaluation.load(path)
    assert again.summary == evaluation.summary
    assert (again.data, again.digest, again.subject, again.seed, again.split) == (
        evaluation.data,
        evaluation.digest,
        "random",
        4,
        "test",
    )
    for task, metrics in evaluation.per_query.items():
        assert list(again.per_query[task]) == list(metrics)
        for name, values in metrics.items():
            np.testing.assert_array_equal(again.per_query[task][name], values)


def test_what_can_t_be_read_is_named(evaluation: Evaluation, tmp_path: Path):
    path = tmp_path / "metrics.json"
    with pytest.raises(EvaluationError, match=r"metrics\.json can't be read"):
        Evaluation.load(path)
    evaluation.save(path)
    path.write_text(json.dumps({"data": "x"}))
    with pytest.raises(EvaluationError, match="evaluate` again"):
        Evaluation.load(path)
    evaluation.save(path)
    (tmp_path / "metrics.per_query.npz").write_bytes(b"no archive")
    with pytest.raises(EvaluationError, match="evaluate` again"):
        Evaluation.load(path)
    with pytest.raises(OutputError, match="can't be written"):
        evaluation.save(tmp_path / "none" / "metrics.json")


def compare(values: np.ndarray, draws: int = 2000, seed: int = 0):
    """The first column against the second."""
    drawn = bootstrap_means(values, draws, seed)
    return difference(float(np.diff(values[:, ::-1]).mean()), drawn[:, 0] - drawn[:, 1])


def test_a_p_value_is_counted_as_a_naive_loop_counts():
    values = np.random.default_rng(2).random((30, 2))
    found = compare(values, draws=500)
    drawn = bootstrap_means(values, 500)
    seen = values[:, 0].mean() - values[:, 1].mean()
    extreme = sum(abs((a - b) - seen) >= abs(seen) for a, b in drawn)
    assert found.mean == pytest.approx(seen)
    assert found.p == pytest.approx((1 + extreme) / 501)
    assert (found.low, found.high) == percentiles(drawn[:, 0] - drawn[:, 1])


def test_a_true_difference_is_found_through_a_spread_of_the_queries_that_hides_it_unpaired():
    rng = np.random.default_rng(3)
    hard = rng.random(300)  # how hard a query is, for both
    values = np.stack([hard + 0.02 + rng.normal(0, 0.05, 300), hard], 1)
    found = compare(values)
    assert found.p < 0.01
    assert 0 < found.low < 0.02 < found.high
    assert percentiles(bootstrap_means(values[:, :1])[:, 0])[0] < values[:, 1].mean()


def test_without_a_difference_every_p_value_is_as_likely():
    rng = np.random.default_rng(4)
    p = np.array([compare(rng.normal(size=(60, 2)), 300, seed).p for seed in range(300)])
    for share in (0.05, 0.25, 0.5, 0.75):
        assert (p <= share).mean() == pytest.approx(share, abs=3 * math.sqrt(0.25 / 300))


def test_holm_agrees_with_an_example_worked_by_hand():
    # Sorted .005 .01 .03 .04, times 4 3 2 1: .02 .03 .06 .04, never falling: .02 .03 .06 .06.
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.6, 0.7]), [1, 1])
    np.testing.assert_allclose(holm([0.02]), [0.02])
    assert len(holm([])) == 0
