"""The tasks beside the primary one, on truths small enough to be worked out by hand."""

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from model_export.contract.streamer import StreamerProfile
from training.data import Dataset
from training.data.tables import Interactions
from training.errors import UsageError
from training.evaluation.audience import choose_audience_vote, measure_audience
from training.evaluation.duplicates import measure_duplicates
from training.evaluation.labels import measure_labels
from training.evaluation.metrics import b_cubed
from training.evaluation.neighbours import uniformity
from training.evaluation.run import evaluate
from training.evaluation.setting import Setting, setting_of
from training.evaluation.subject import (
    AudienceVote,
    Representation,
    SideBySide,
    count,
    paired_scores,
    scores,
    shown,
    unit,
)
from training.evaluation.tasks import cold_start_task
from training.numeric import sparse


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


def test_a_data_set_without_any_truth_has_no_tasks_but_the_geometry():
    found = evaluate(
        dataset(["train", "test", "test"]), Representation.symmetric(np.eye(3, dtype=np.float32))
    )
    assert list(found.summary) == ["vectors"]
    assert list(found.summary["vectors"]) == ["uniformity"]


def test_an_empty_split_is_an_error():
    with pytest.raises(UsageError, match="no streamers in split val"):
        setting_of(dataset(["train", "test"]), "val")
    with pytest.raises(UsageError, match="no streamers in split train or val"):
        setting_of(dataset(["test", "test"]))


def test_val_searches_train_alone():
    setting = setting_of(dataset(["train", "val", "test", "train"]), "val")
    assert setting.queries.tolist() == [1]
    assert setting.gallery.tolist() == [0, 3]


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


def test_the_vote_is_chosen_where_it_is_best():
    """Fifteen at nearly the nearest's cosine watch else: only a sharp vote leaves them out."""
    others = [[0, 0, 0, 1]] * 15
    data = dataset(
        ["train"] + ["train"] * 15 + ["val", "test"],
        interactions=watched([[1, 1, 0, 0], *others, [1, 1, 0, 0], [1, 1, 0, 0]]),
    )
    representation = Representation.symmetric(directions(0, *np.linspace(20, 25, 15), 0, 0))
    vote = choose_audience_vote(setting_of(data, "val"), representation)
    assert vote is not None
    assert vote.temperature <= 0.05
    sharp = replace(representation, audience_vote=vote)
    flat = replace(representation, audience_vote=AudienceVote(0.8, 0))
    assert evaluate(data, sharp).summary["audience"]["NDCG@50"] == pytest.approx(1)
    assert evaluate(data, flat).summary["audience"]["NDCG@50"] < 0.8


def test_who_is_near_nobody_has_no_votes():
    data = dataset(["train", "train", "test"], interactions=watched([[1, 0], [0, 1], [0, 1]]))
    found = measure_audience(setting_of(data), Representation.symmetric(directions(0, 10, 180)))
    assert found is not None  # all votes are 0, and equals come in their order
    assert found.summary["NDCG@50"] == pytest.approx(1 / np.log2(3))


def test_nothing_is_chosen_without_audiences_or_where_they_do_not_vote():
    vectors = Representation.symmetric(directions(0, 10))
    assert choose_audience_vote(setting_of(dataset(["train", "val"]), "val"), vectors) is None
    data = dataset(["train", "val"], interactions=watched([[1, 1], [1, 0]]))
    popular = replace(vectors, user_scores=np.ones(2, np.float32))
    assert choose_audience_vote(setting_of(data, "val"), popular) is None
    assert choose_audience_vote(setting_of(data, "val"), vectors) is not None


def test_relevance_is_found_in_bounded_memory(monkeypatch: pytest.MonkeyPatch):
    """Two users watch everybody, so that everybody shares an audience with everybody."""
    count = 1000
    audience = sp.csr_matrix(np.ones((count, 2), np.float32))
    rows = np.arange(count)
    whole = cold_start_task(audience, rows[:100], rows)
    monkeypatch.setattr(sparse, "_ENTRIES", 20 * count)
    tracemalloc.start()
    try:
        task = cold_start_task(audience, rows, rows)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000  # all at once, a million entries of eight bytes and more
    assert task.queries.tolist() == rows.tolist()
    for one, other in zip(task.relevant, whole.relevant, strict=False):
        np.testing.assert_array_equal(one, other)


def test_a_relation_counts_as_an_audience_of_the_known_only():
    related = sp.csr_matrix(np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]], np.float32))
    data = dataset(["train", "train", "test"], relations=related)
    audience = setting_of(data).audience
    assert audience is not None
    assert audience.toarray().tolist() == [[0, 1], [1, 0], [1, 1]]


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


def test_duplicates_need_a_vector_per_streamer_and_a_pair_to_find():
    setting = setting_of(dataset(["train", "test", "test"], duplicates=np.array([0, 1, 1])))
    ones = np.ones((3, 1), np.float32)
    assert measure_duplicates(setting, Representation(ones, 2 * ones)) is None
    alone = Setting(
        replace(setting.dataset, duplicates=np.arange(3)), setting.queries, setting.gallery
    )
    assert measure_duplicates(alone, Representation.symmetric(ones)) is None


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


def test_all_at_one_place_are_not_uniform():
    assert uniformity(np.ones((5, 1), np.float32)) == pytest.approx(0)


def test_asymmetric_methods_have_no_geometry(world: Dataset):
    ones = np.ones((len(world.ids), 1), np.float32)
    assert "vectors" not in evaluate(world, Representation(ones, 2 * ones)).summary


def test_side_by_side_is_one_matrix_with_the_columns_of_all():
    rng = np.random.default_rng(0)
    dense = rng.random((40, 6)).astype(np.float32)
    dense[3] = 0
    both = SideBySide((dense[:, :2], sp.csr_matrix(dense[:, 2:])))
    some = np.array([5, 3, 0])
    np.testing.assert_allclose(scores(both[some], both), dense[some] @ dense.T, rtol=1e-5)
    np.testing.assert_allclose(paired_scores(both, both), (dense**2).sum(1), rtol=1e-5)
    assert shown(both).tolist() == [row != 3 for row in range(40)]
    assert count(both) == 40
    lengths = np.linalg.norm(dense, axis=1)[some]
    wanted = dense[some] @ dense.T / np.maximum(lengths, 1e-9)[:, None]
    np.testing.assert_allclose(scores(unit(both[some]), both), wanted, rtol=1e-5)
