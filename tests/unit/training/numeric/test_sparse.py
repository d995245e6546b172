"""Sparse top-k against the dense one, and blocks of products."""

import numpy as np
import pytest
import scipy.sparse as sp

from training.numeric import sparse as module
from training.numeric.sparse import present, product_blocks, sparse_top_k
from training.numeric.topk import EXCLUDED, nearest_others, top_k

SHARES = (0.0, 0.02, 0.2, 0.9)


def matrix(rows: int, columns: int, share: float) -> np.ndarray:
    """Few distinct values, so that many are equal."""
    rng = np.random.default_rng(0)
    values = rng.integers(1, 5, (rows, columns)).astype(np.float32)
    return np.where(rng.random((rows, columns)) < share, values, 0).astype(np.float32)


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("count", [0, 1, 7, 30, 50])
def test_like_the_dense_one_also_where_scores_are_equal(share: float, count: int):
    dense = matrix(40, 30, share)
    near, scores = sparse_top_k(sp.csr_matrix(dense), count)
    expected = top_k(dense, count)
    np.testing.assert_array_equal(near, expected[0])
    np.testing.assert_array_equal(scores, expected[1])


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("count", [1, 7, 29])
def test_others_and_able_ones_come_first_like_in_the_dense_one(share: float, count: int):
    dense = matrix(30, 30, share)
    able = np.random.default_rng(1).random(30) < 0.6
    near, scores = sparse_top_k(sp.csr_matrix(dense), count, able, np.arange(30))
    expected = nearest_others(lambda part: dense[part].copy(), 30, count, able)
    np.testing.assert_array_equal(near, expected[0])
    np.testing.assert_array_equal(scores, np.where(expected[1] == EXCLUDED, 0, expected[1]))


def test_blocks_cover_all_rows_with_bounded_work(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_ENTRIES", 500)
    left, right = (sp.csr_matrix(matrix(200, 200, share)) for share in (0.05, 0.1))
    parts = list(product_blocks(left, right))
    assert [row for part in parts for row in range(part.start, part.stop)] == list(range(200))
    assert len(parts) > 5
    work = (left.toarray() > 0) @ np.diff(right.indptr)
    assert all(work[part].sum() <= 500 or part.stop == part.start + 1 for part in parts)
    heavy = sp.csr_matrix(np.ones((3, 200), np.float32))  # each row alone is beyond it
    assert [part.stop for part in product_blocks(heavy, right)] == [1, 2, 3]


def test_entries_of_each_rows_own_columns():
    dense = matrix(20, 30, 0.3)
    columns = np.random.default_rng(2).integers(0, 30, (20, 9))
    np.testing.assert_array_equal(
        present(sp.csr_matrix(dense), columns), np.take_along_axis(dense, columns, 1) > 0
    )
    assert not present(sp.csr_matrix((20, 30), dtype=np.float32), columns).any()
