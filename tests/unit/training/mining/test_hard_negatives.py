import numpy as np
import pytest
import scipy.sparse as sp

from training.mining.hard_negatives import find_hard_negatives
from training.mining.positives import Behaviour, IdSpace, SharedAudience


def unit(rows: int, width: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


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


def test_all_of_a_row_are_drawn_and_nobody_else():
    content = unit(8, 3, 0)
    found = find_hard_negatives(np.array([2]), content, nobody, 20, 1.1)
    drawn = found.draw(np.full(2000, 2), np.random.default_rng(0))
    counts = np.bincount(drawn, minlength=8)
    assert counts[2] == 0
    assert (np.delete(counts, 2) > 200).all()  # 286 expected, fewer streamers than wanted


def test_nobody_is_left_where_all_may_be_alike():
    found = find_hard_negatives(
        np.arange(9), unit(9, 3, 0), lambda rows, others: ~nobody(rows, others), 4, 0.9
    )
    assert not found.there.any()


@pytest.mark.parametrize(
    "behaviour",
    [
        SharedAudience(
            sp.csr_matrix((np.random.default_rng(0).random((40, 15)) < 0.2).astype(np.float32)), 1
        ),
        IdSpace(unit(40, 4, 7), 0.1, 0.3),
    ],
    ids=["audience", "ID space"],
)
def test_pairs_of_rows_and_others_are_those_of_the_square(behaviour: Behaviour):
    square = behaviour.related(np.arange(40), np.arange(40))
    assert 0.05 < square.mean() < 0.95
    rows = np.array([5, 0, 39])
    others = np.random.default_rng(2).integers(0, 40, (3, 12))
    np.testing.assert_array_equal(
        behaviour.related_to(rows, others), np.take_along_axis(square[rows], others, 1)
    )
