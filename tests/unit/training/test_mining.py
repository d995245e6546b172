"""Rules that find positives and negatives, beside plain loops and full sorts."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

from tests.unit.training.helpers import unit, without_behaviour
from training.data import Dataset, IdEmbeddings
from training.errors import UsageError
from training.mining.content_filters import (
    Form,
    Similarity,
    cosine_similarity,
    edit_similarity,
    passed,
    tag_similarity,
)
from training.mining.hard_negatives import find_hard_negatives
from training.mining.positives import (
    IdSpace,
    Positives,
    SharedAudience,
    nearest,
    trusted_only,
    weigh,
)
from training.mining.supervised_pairs import (
    AlikeSearch,
    Relation,
    SameGroup,
    known_duplicates,
    near_by_behaviour,
    same_label,
)
from training.teachers.label_noise import NoiseEstimate


def find(rows: int, count: int, floor: float = 0.1) -> Positives:
    near, weights = IdSpace(unit(rows, 4, 3), 0.3, 0.7).candidates(count)
    return weigh(near, weights, unit(rows, 6, 4), floor, np.random.default_rng(0))


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_audiences_are_compared_by_cosine_from_two_users_on(power: float):
    dense = (np.random.default_rng(0).random((40, 15)) < 0.2).astype(np.float32)
    dense[7] = 0
    behaviour = SharedAudience(sp.csr_matrix(dense), power)
    near, weights = behaviour.candidates(6)
    related = behaviour.related(np.arange(40), np.arange(40))
    for i in range(40):
        cosines = []
        for j in range(40):
            shared = float(dense[i] @ dense[j])
            size = math.sqrt(dense[i].sum() * dense[j].sum())
            assert related[i, j] == (shared >= 2)
            if i != j:
                cosines.append(shared / size if shared >= 2 else 0.0)
        best = sorted(cosines, reverse=True)[:6]
        expected = [(c / best[0]) ** power if c > 0 else 0 for c in best]
        np.testing.assert_allclose(weights[i], expected, atol=1e-6)
        assert i not in near[i]


def test_weights_in_the_id_space_fall_with_the_cosine():
    directions = unit(30, 4, 7)
    behaviour = IdSpace(directions, 0.1, 0.7)
    near, weights = behaviour.candidates(4)
    for i in range(30):
        cosines = [float(directions[i] @ directions[j]) for j in near[i]]
        expected = [math.exp((c - max(cosines)) / 0.1) for c in cosines]
        np.testing.assert_allclose(weights[i], expected, rtol=1e-3)
    rows = np.array([4, 9, 1])
    expected = directions[rows] @ directions[rows].T > 0.7
    np.testing.assert_array_equal(behaviour.related(rows, rows), expected)


def test_other_content_makes_a_weight_smaller_down_to_the_floor():
    near, _ = nearest(unit(12, 4, 1), 3)
    content, ones = unit(12, 6, 2), np.ones((12, 3), np.float32)
    weights = weigh(near, ones, content, 0.2, np.random.default_rng(5)).strength
    permutation = np.random.default_rng(5).permutation(12)
    theta = np.quantile([content[i] @ content[permutation[i]] for i in range(12)], 0.9)
    spread = np.array([[content[i] @ content[j] for j in near[i]] for i in range(12)]).std()
    for i in range(12):
        for k, j in enumerate(near[i]):
            alike = 1 / (1 + math.exp(-(float(content[i] @ content[j]) - theta) / (0.25 * spread)))
            assert weights[i, k] == pytest.approx(0.2 + 0.8 * alike, rel=1e-3)


def test_pairs_are_symmetric_with_the_larger_weight():
    found = find(20, 5)
    expected = np.zeros((20, 20))
    np.put_along_axis(expected, found.near, found.strength, 1)
    np.testing.assert_allclose(found.weights.toarray(), np.maximum(expected, expected.T), atol=1e-6)


def test_pairs_count_as_far_as_both_ends_are_trusted():
    vectors = unit(30, 4, 5)
    near, weights = nearest(vectors, 3)
    weights = (np.abs(weights) + 0.1).astype(np.float32)
    trust = np.linspace(0, 1, 30).astype(np.float32)
    noise = NoiseEstimate(vectors, trust, np.zeros_like(vectors))  # nothing was predicted
    same, counted = trusted_only(near, weights, noise)
    np.testing.assert_array_equal(same, near)
    for i in range(30):
        for place, j in enumerate(near[i]):
            expected = weights[i, place] * trust[i] * trust[j]
            assert counted[i, place] == pytest.approx(expected if expected >= 1e-3 else 0)


K = 12


@pytest.fixture(scope="module")
def audience() -> np.ndarray:
    dense = (np.random.default_rng(0).random((50, 60)) < 0.07).astype(np.float32)
    dense[7] = 0
    return dense


def cosines_of(dense: np.ndarray) -> np.ndarray:
    shared = dense @ dense.T
    np.fill_diagonal(shared, 0)
    size = np.sqrt(dense.sum(1).clip(1))
    return np.where(shared >= 2, shared, 0) / size[:, None] / size


def expected_nearness(cosines: np.ndarray) -> np.ndarray:
    """(D^-1/2 S D^-1/2) G of all pairs, where nobody has more than K neighbours."""
    rows = len(cosines)
    strength = cosines.sum(1)
    nearness = np.zeros((rows, rows))
    for i in range(rows):
        for j in range(rows):
            for between in range(rows):
                if cosines[i, between] and cosines[between, j]:
                    scale = math.sqrt(strength[i] * strength[between])
                    nearness[i, j] += cosines[i, between] / scale * cosines[between, j]
    return np.where((cosines > 0) | np.eye(rows, dtype=bool), 0, nearness)


def test_empty_places_are_filled_by_the_formula(audience: np.ndarray):
    cosines = cosines_of(audience)
    neighbours = (cosines > 0).sum(1)
    assert neighbours.max() <= K, "the reference knows no limit"
    assert ((neighbours > 0) & (neighbours < K)).sum() > 20
    behaviour = SharedAudience(sp.csr_matrix(audience), 1)
    plain, plain_weights = behaviour.candidates(K)
    near, weights, few = behaviour.completed(K, None, 0.3)
    nearness = expected_nearness(cosines)
    np.testing.assert_array_equal(few, neighbours < K)
    for i, there in enumerate(neighbours):
        np.testing.assert_array_equal(near[i, :there], plain[i, :there])
        np.testing.assert_array_equal(weights[i, :there], plain_weights[i, :there])
        best = sorted(nearness[i], reverse=True)
        if not there:
            assert not weights[i].any()
        else:
            expected = 0.3 * np.array(best[: K - there]) / max(best[0], 1e-9)
            np.testing.assert_allclose(weights[i, there:], expected, atol=1e-5)
        for j, weight in zip(near[i, there:], weights[i, there:], strict=True):
            assert (weight > 0) == (there > 0 and nearness[i, j] > 0)


def nobody(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.zeros(others.shape, bool)


def test_nearest_by_content_who_are_neither_alike_nor_the_same():
    content = unit(60, 3, 0)
    cosines = content @ content.T
    alike = np.random.default_rng(1).random((60, 60)) < 0.3
    rows = np.array([3, 10, 41])
    found = find_hard_negatives(rows, content, lambda r, o: alike[r[:, None], o], 5, 0.95)
    for row in rows:
        order = [
            j
            for j in np.argsort(-cosines[row], kind="stable")[:16]
            if j != row and cosines[row, j] <= 0.95 and not alike[row, j]
        ]
        expected = (order + [-1] * 5)[:5]
        assert found.table[row].tolist() == expected
    assert np.flatnonzero(found.there).tolist() == rows.tolist()


TOPICS = 40
EMPTY = 2 * TOPICS
"""Streamers 2 t and 2 t + 1 are of topic t; the last one shows nothing."""


def _texts() -> list[str]:
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz "))
    topics = ["".join(rng.choice(letters, 30)) for _ in range(TOPICS)]
    return [text for topic in topics for text in (topic, topic[4:])] + [""]


def _vectors() -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    topics = np.repeat(rng.standard_normal((TOPICS, 32)), 2, axis=0)
    vectors = topics + 0.3 * rng.standard_normal(topics.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.concatenate([vectors, np.zeros((1, 32))]).astype(np.float32)


TAGS = [frozenset((f"topic {i // 2}", f"own {i}", f"{i % 7}")) for i in range(EMPTY)]
SIMILARITIES: dict[str, Similarity] = {
    "edit-distance": edit_similarity(_texts(), threads=1),
    "tags": tag_similarity([*TAGS, frozenset()]),
    "similarity": cosine_similarity(_vectors()),
}
_ROWS = np.arange(EMPTY)
NEAR = np.stack([_ROWS ^ 1, (_ROWS + 2) % EMPTY, np.full(EMPTY, EMPTY)], 1)
NEAR = np.concatenate([NEAR, [[0, 1, 2]]])
"""Per row: the other of its topic, one of another topic, and the one that shows nothing."""


@pytest.mark.parametrize(
    ("similarity", "expected"),
    [
        (edit_similarity(["rainy guitar songs", "rainy guitar song", ""], threads=1), 1 - 1 / 18),
        (tag_similarity([frozenset("abc"), frozenset("abd"), frozenset()]), 2 / 4),
        (cosine_similarity(np.array([[1, 0], [0.6, 0.8], [0, 0]], np.float32)), 0.6),
    ],
    ids=["edit", "tags", "cosine"],
)
def test_similarities_are_shares_of_what_is_common(similarity: Similarity, expected: float):
    found = similarity(np.array([0, 1, 1, 0, 2]), np.array([1, 0, 1, 2, 2]))
    assert found[:3].tolist() == pytest.approx([expected, expected, 1])
    assert np.isnan(found[3:]).all()


@pytest.mark.parametrize("name", SIMILARITIES)
def test_hard_keeps_the_alike_and_drops_most_others(name: str):
    weights = passed(NEAR, SIMILARITIES[name], 0.9, "hard", np.random.default_rng(0))[:EMPTY]
    assert (weights[:, 0] == 1).all()
    assert weights[:, 1].mean() < 0.2


@pytest.mark.parametrize("name", SIMILARITIES)
@pytest.mark.parametrize(("form", "expected"), [("hard", 1), ("soft", 0.5)])
def test_a_pair_that_shows_too_little_is_not_refuted(name: str, form: Form, expected: float):
    weights = passed(NEAR, SIMILARITIES[name], 0.9, form, np.random.default_rng(0))
    assert set(weights[:EMPTY, 2]) == set(weights[EMPTY]) == {expected}


def assert_consistent(relation: Relation, known: np.ndarray[Any, Any]) -> None:
    """Anchors have others that are alike; what is drawn is alike, known, and someone else."""
    anchors, rng = relation.anchors, np.random.default_rng(0)
    assert len(anchors) > 1
    assert set(anchors) <= set(known)
    for _ in range(5):
        drawn = relation.draw(anchors, rng)
        assert set(drawn) <= set(known)
        assert (drawn != anchors).all()
        assert relation.alike(anchors, drawn).all()
        assert relation.alike(drawn, anchors).all()


def test_all_other_members_of_a_group_are_drawn():
    groups, known = np.array([0, 1, 0, -1, 0, 2, -1, 0]), np.array([0, 1, 2, 3, 4, 5, 6])
    relation = SameGroup(groups, known)
    assert relation.anchors.tolist() == [0, 2, 4]
    rng = np.random.default_rng(0)
    drawn = [relation.draw(relation.anchors, rng).tolist() for _ in range(40)]
    for place, others in enumerate(({2, 4}, {0, 4}, {0, 2})):
        assert {each[place] for each in drawn} == others
    one, other = np.array([0, 0, 3, 1]), np.array([2, 1, 6, 1])
    assert relation.alike(one, other).tolist() == [True, False, False, True]


def test_labels_and_duplicates(world: Dataset):
    known = world.rows("train")
    assert world.labels is not None
    relation = same_label(world, known)
    assert_consistent(relation, known)
    anchors = relation.anchors
    drawn = relation.draw(anchors, np.random.default_rng(1))
    assert [world.labels[row] for row in anchors] == [world.labels[row] for row in drawn]
    assert_consistent(known_duplicates(world, known), known)


def test_behaviour_by_audience_and_by_id_embedding(world: Dataset):
    known = world.rows("train")
    relation = near_by_behaviour(world, known, neighbours=5)
    assert_consistent(relation, known)
    assert not relation.alike(known[:1], world.rows("test")[:1]).any()
    given = IdEmbeddings(world.ids, np.random.default_rng(0).normal(size=(300, 4)).astype("f4"))
    alone = replace(without_behaviour(world), id_embeddings=given)
    assert_consistent(near_by_behaviour(alone, known, neighbours=5), known)


def test_behaviour_of_cold_streamers_is_never_read(world: Dataset):
    known = world.rows("train")
    assert world.interactions is not None
    matrix = world.interactions.matrix.tolil()
    matrix[world.rows("test")] = 1
    planted = replace(
        world, interactions=replace(world.interactions, matrix=sp.csr_matrix(matrix.tocsr()))
    )
    one, other = (near_by_behaviour(data, known, 5) for data in (world, planted))
    assert abs(one.positives.weights - other.positives.weights).sum() == 0


def test_the_first_alike_one_counts_and_none_finds_itself():
    groups = np.array([0, 0, 0, 1, 1, -1])
    rows = np.arange(6)
    search = AlikeSearch(
        SameGroup(groups, rows), np.array([2, 4, 5]), rows, np.random.default_rng(), most=6
    )
    vectors = np.eye(6, dtype=np.float32)
    vectors[2] = [0.5, 0.1, 1, 0.6, 0, 0.7]  # finds 5, 3, then 0
    vectors[4] = [0, 0, 0, 0.5, 1, 0]  # finds 3
    assert search.mean_reciprocal_rank(vectors) == pytest.approx((1 / 3 + 1) / 2)
    same = np.ones((6, 2), np.float32)
    # Of five others, two are alike, so that one of the three strangers precedes them; or one is.
    assert search.mean_reciprocal_rank(same) == pytest.approx((1 / 2 + 1 / 3) / 2)
    nobody = AlikeSearch(SameGroup(groups, rows), rows[5:], rows, np.random.default_rng(), most=6)
    assert math.isnan(nobody.mean_reciprocal_rank(vectors))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (lambda data, known: near_by_behaviour(data, known, 5), "positives=behaviour: .* neither"),
        (same_label, "positives=labels: .* has no labels"),
        (known_duplicates, "positives=duplicates: .* has no duplicates"),
    ],
)
def test_what_is_missing_is_named(world: Dataset, source: Any, message: str):
    nothing = replace(without_behaviour(world), labels=None, duplicates=None)
    with pytest.raises(UsageError, match=f"--set {message}.*; use positives=dropout"):
        source(nothing, world.rows("train"))
