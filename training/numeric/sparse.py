"""Top-k of sparse matrices, and products of them in blocks of bounded memory."""

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from training.numeric.topk import Found, top_k

_ENTRIES = 1 << 24
"""Most products of a block, which its entries can't exceed: 200 MB."""
_ROWS = 1 << 15
_DENSE = 0.25
"""Share of non-zero cells from which a block is faster as a dense matrix."""


def product_blocks(left: sp.csr_matrix, right: sp.csr_matrix) -> Iterator[slice]:
    """Row slices of `left` (R, U), each small enough for its product with `right` (U, M)."""
    work = left.astype(bool) @ np.diff(right.indptr).astype(np.int64)  # (R,) products
    total, start = np.concatenate([[0], np.cumsum(work)]), 0
    while start < len(work):
        end = int(np.searchsorted(total, total[start] + _ENTRIES, "right")) - 1
        end = min(max(end, start + 1), start + _ROWS)
        yield slice(start, end)
        start = end


def sparse_top_k(
    scores: sp.csr_matrix,
    count: int,
    able: NDArray[np.bool_] | None = None,
    own: NDArray[np.int64] | None = None,
) -> Found:
    """The `count` best columns of each row of a non-negative (R, M) matrix, like `top_k`.

    Equal scores, and zeros, are in the order of columns.

    Args:
        scores: without explicit zeros.
        count: K, less than M if `own` is given.
        able: columns (M,) that may be found; the others come last, with score 0.
        own: column of each row (R,) that is not found; None = all are.
    """
    rows, columns = scores.get_shape()
    count = min(count, columns)
    if scores.nnz > _DENSE * rows * columns and rows * columns <= _ENTRIES:
        return _dense_top_k(scores.toarray(), count, able, own)
    row = np.repeat(np.arange(rows), np.diff(scores.indptr))
    column, value = scores.indices, scores.data.astype(np.float32)
    kept = np.ones(len(row), bool) if able is None else able[column]
    if own is not None:
        kept &= column != own[row]
    row, column, value = row[kept], column[kept], value[kept]
    order = np.lexsort((column, -value, row))
    row, column, value = row[order], column[order], value[order]
    first = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=rows))])
    place = np.arange(len(row)) - first[row]  # among those of the same row
    kept = place < count
    row, column, value, place = row[kept], column[kept], value[kept], place[kept]
    near, found = np.zeros((rows, count), np.int64), np.zeros((rows, count), np.float32)
    near[row, place], found[row, place] = column, value
    _fill(near, np.bincount(row, minlength=rows), columns, able, own)
    return near, found


def _dense_top_k(
    scores: NDArray[np.float32],
    count: int,
    able: NDArray[np.bool_] | None,
    own: NDArray[np.int64] | None,
) -> Found:
    if able is not None:
        scores[:, ~able] = -1
    if own is not None:
        scores[np.arange(len(scores)), own] = -np.inf
    near, found = top_k(scores, count)
    return near, found.clip(min=0)


def _fill(
    near: NDArray[np.int64],
    found: NDArray[np.int64],
    columns: int,
    able: NDArray[np.bool_] | None,
    own: NDArray[np.int64] | None,
) -> None:
    """Fill the places of rows (R, K) after the first `found` (R,) with the first other columns."""
    rows, count = near.shape
    if not count or (found == count).all():
        return
    order = np.arange(columns) if able is None else np.argsort(~able, kind="stable")
    first = order[: 2 * count + 1]  # K found and the own one leave K of them
    position = np.full(columns, -1)
    position[first] = np.arange(len(first))
    taken = np.zeros((rows, len(first)), bool)
    row, place = np.nonzero(np.arange(count) < found[:, None])
    at = position[near[row, place]]
    taken[row[at >= 0], at[at >= 0]] = True
    if own is not None:
        at = position[own]
        taken[np.flatnonzero(at >= 0), at[at >= 0]] = True
    free = first[np.argsort(taken, axis=1, kind="stable")[:, :count]]  # (R, K)
    row, place = np.nonzero(np.arange(count) >= found[:, None])
    near[row, place] = free[row, place - found[row]]


def present(matrix: sp.csr_matrix, columns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a sparse matrix (R, M) has an entry at each row's own columns (R, K)."""
    width = matrix.get_shape()[1]
    row = np.repeat(np.arange(len(columns)), np.diff(matrix.indptr))
    entries = np.sort(row * width + matrix.indices)
    wanted = np.arange(len(columns))[:, None] * width + columns
    if not len(entries):
        return np.zeros(columns.shape, bool)
    place = np.searchsorted(entries, wanted).clip(max=len(entries) - 1)
    return entries[place] == wanted
