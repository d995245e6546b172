"""Exact top-k search, computed in blocks of rows, and k-nearest-neighbour graphs."""

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from training.numeric.blocks import blocks

Found = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Columns (R, K), best first, and their scores (R, K)."""

EXCLUDED = -2.0
"""Score of a column that must come after all others: below any cosine."""


def top_k(scores: NDArray[np.float32], count: int) -> Found:
    """The `count` best columns of each row (R, M), best first; ties go to the lower column.

    Args:
        scores: without NaN.
        count: K; at most M columns are returned.
    """
    count = min(count, scores.shape[1])
    if not count:
        return np.zeros((len(scores), 0), np.int64), np.zeros((len(scores), 0), np.float32)
    found = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    values = np.take_along_axis(scores, found, 1)
    last = values.min(1, keepdims=True)  # (R, 1)
    # Which of several equal scores a partition keeps is arbitrary.
    cut = np.count_nonzero(scores == last, 1) > np.count_nonzero(values == last, 1)
    for row in np.flatnonzero(cut):
        better = np.flatnonzero(scores[row] > last[row])
        equal = np.flatnonzero(scores[row] == last[row])
        found[row] = np.concatenate([better, equal[: count - len(better)]])
    values = np.take_along_axis(scores, found, 1)
    order = np.lexsort((found, -values))
    return np.take_along_axis(found, order, 1), np.take_along_axis(values, order, 1)


def top_k_in_blocks(
    scores: Callable[[slice], NDArray[np.float32]], rows: int, columns: int, count: int
) -> Found:
    """Top-k of an (R, M) matrix that is computed a block of rows at a time.

    Args:
        scores: a slice of rows -> their scores (b, M).
        rows: R.
        columns: M.
        count: K.
    """
    count = min(count, columns)
    near = np.zeros((rows, count), np.int64)
    values = np.zeros((rows, count), np.float32)
    for part in blocks(rows, columns):
        near[part], values[part] = top_k(scores(part), count)
    return near, values


def nearest_others(
    scores: Callable[[slice], NDArray[np.float32]],
    rows: int,
    count: int,
    able: NDArray[np.bool_] | None = None,
) -> Found:
    """Top-k of a square (N, N) matrix without its diagonal.

    Args:
        scores: a slice of rows -> their scores (b, N), overwritten here.
        rows: N.
        count: K, cut to N - 1.
        able: columns (N,) that may be found; all others come last, with the score `EXCLUDED`.
    """

    def masked(part: slice) -> NDArray[np.float32]:
        found = scores(part)
        if able is not None:
            found[:, ~able] = EXCLUDED
        found[np.arange(len(found)), np.arange(part.start, part.stop)] = -np.inf
        return found

    return top_k_in_blocks(masked, rows, rows, min(count, rows - 1))


def neighbour_graph(near: NDArray[np.integer], weights: NDArray[np.float32]) -> sp.csr_matrix:
    """Symmetric k-NN graph (N, N) of neighbours (N, K); an edge has the larger of both weights."""
    there = weights != 0
    ends = np.concatenate([[0], np.cumsum(there.sum(1))])
    shape = len(near), len(near)
    pairs = sp.csr_matrix((weights[there], near[there].astype(np.int32), ends), shape=shape)
    pairs.sum_duplicates()
    return sp.csr_matrix(pairs.maximum(pairs.T))
