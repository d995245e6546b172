import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

from training.data import Dataset, IdEmbeddings
from training.errors import UsageError
from training.mining.supervised_pairs import (
    AlikeSearch,
    Relation,
    SameGroup,
    known_duplicates,
    near_by_behaviour,
    same_label,
)

NOTHING: dict[str, Any] = {
    "interactions": None,
    "relations": None,
    "id_embeddings": None,
    "labels": None,
    "duplicates": None,
}


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
    alone = replace(world, interactions=None, relations=None, id_embeddings=given)
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


def test_of_a_large_gallery_some_are_searched_and_a_related_one_of_each_query():
    rows, asked = np.arange(3000), list[int]()

    class Counted(SameGroup):
        def alike(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.bool_]:
            asked.append(len(one))
            return super().alike(one, other)

    held_out = rows[::30]
    relation, rng = Counted(rows // 2, rows), np.random.default_rng(0)
    search = AlikeSearch(relation, held_out, rows, rng, most=50)
    assert set(held_out) | set(held_out + 1) <= set(search.rows)
    assert 200 < len(search.rows) <= 250
    assert sum(asked) == 100 * len(search.rows)
    vectors = rng.standard_normal((1500, 32)).astype(np.float32)[search.rows // 2]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert search.mean_reciprocal_rank(vectors) == 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (lambda data, known: near_by_behaviour(data, known, 5), "positives=behaviour: .* neither"),
        (same_label, "positives=labels: .* has no labels"),
        (known_duplicates, "positives=duplicates: .* has no duplicates"),
    ],
)
def test_what_is_missing_is_named(world: Dataset, source: Any, message: str):
    with pytest.raises(UsageError, match=f"--set {message}.*; use positives=dropout"):
        source(replace(world, **NOTHING), world.rows("train"))
