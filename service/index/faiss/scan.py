"""Exact scans by FAISS's brute-force kernels: every allowed row is scored."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import faiss as untyped_faiss  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
from numpy.typing import NDArray

from service.index.faiss.rows.view import View
from service.index.query import ScoringSpec

faiss = cast(Any, untyped_faiss)  # its own stubs have no types for its Python-side functions

_SPARSE, _DENSE = 0.25, 0.75
"""The share of slots that are allowed decides how they are scanned: few ones by their numbers,
nearly all by skipping the others, and in between by scoring everyone (measured: skipping every
second one costs twice as much, since branches can't be predicted)."""
_BLOCK = 16_384
"""So many rows are scored at a time: products with many probes take much memory."""


def best(query: NDArray[np.float32], k: int, view: View) -> tuple[NDArray[np.float32], list[int]]:
    """The k allowed rows with the largest inner product with a query (D,).

    Returns:
        Scores (K,) and their slots, in any order; K is less than k if fewer are allowed.
    """
    depth = min(k, view.size)
    if depth == 0:
        return np.empty(0, np.float32), []
    query = np.ascontiguousarray(query, np.float32)
    share = view.size / len(view.embeddings)
    if share >= _DENSE:
        return _skipping(query, depth, view)
    slots = view.slots()
    if share < _SPARSE:
        return best_of(query, depth, view.embeddings, slots)
    scores = _inner_products(query, view.embeddings)[slots]
    top = np.argpartition(scores, len(scores) - depth)[len(scores) - depth :]
    return scores[top], slots[top].tolist()


def best_of(
    query: NDArray[np.float32], k: int, matrix: NDArray[np.float32], slots: NDArray[np.int64]
) -> tuple[NDArray[np.float32], list[int]]:
    """The k rows at some slots (S,) of a matrix (N, D) with the largest products; see `best`."""
    return best_of_each(query[None, :], k, matrix, [slots])[0]


def best_of_each(
    queries: NDArray[np.float32],
    k: int,
    matrix: NDArray[np.float32],
    slots: Sequence[NDArray[np.int64]],
) -> list[tuple[NDArray[np.float32], list[int]]]:
    """The k best rows for each of the queries (Q, D), each among slots of its own; see `best`.

    It is one call of FAISS.
    """
    width = max(len(some) for some in slots)
    if width == 0:
        return [(np.empty(0, np.float32), [])] * len(slots)
    if len(slots) == 1:
        among = slots[0]
    else:
        among = np.full((len(slots), width), -1, np.int64)  # FAISS stops at -1
        for row, some in zip(among, slots, strict=True):
            row[: len(some)] = some
    k = min(k, width)
    queries = np.ascontiguousarray(queries, np.float32)
    scores = np.empty((len(slots), k), np.float32)
    found = np.empty((len(slots), k), np.int64)
    _one_thread()
    faiss.knn_inner_products_by_idx(
        faiss.swig_ptr(queries),
        faiss.swig_ptr(matrix),
        faiss.swig_ptr(among),
        matrix.shape[1],
        len(slots),
        len(matrix),
        width,
        k,
        faiss.swig_ptr(scores),
        faiss.swig_ptr(found),
        width,
    )
    best = zip(scores, found.tolist(), [min(k, len(some)) for some in slots], strict=True)
    return [(some_scores[:many], some[:many]) for some_scores, some, many in best]


def _skipping(
    query: NDArray[np.float32], k: int, view: View
) -> tuple[NDArray[np.float32], list[int]]:
    scores, slots = np.empty((1, k), np.float32), np.empty((1, k), np.int64)
    rows, dim = view.embeddings.shape
    bits = view.bits()
    _one_thread()
    faiss.knn_inner_product(
        faiss.swig_ptr(query),
        faiss.swig_ptr(view.embeddings),
        dim,
        1,
        rows,
        k,
        faiss.swig_ptr(scores),
        faiss.swig_ptr(slots),
        faiss.IDSelectorBitmap(rows, faiss.swig_ptr(bits)),
    )
    return scores[0], slots[0].tolist()


def scored(
    scoring: ScoringSpec, view: View
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Scores (B,) and slots (B,) of all allowed rows, a block at a time."""
    probes = np.ascontiguousarray(scoring.probes(), np.float32)  # (P, D)
    chosen = view.slots()
    for start in range(0, len(chosen), _BLOCK):
        slots = chosen[start : start + _BLOCK]
        if len(probes) == 1:
            yield _inner_products_at(probes[0], view.embeddings, slots), slots
            continue
        first, last = int(slots[0]), int(slots[-1])
        dense = last - first < len(slots)
        rows = view.embeddings[first : last + 1] if dense else view.embeddings[slots]  # (B, D)
        yield scoring.combine(probes @ rows.T), slots


def _inner_products(query: NDArray[np.float32], matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Inner products (N,) of a query (D,) with all rows of a matrix (N, D)."""
    found = np.empty(len(matrix), np.float32)
    _one_thread()
    faiss.fvec_inner_products_ny(
        faiss.swig_ptr(found),
        faiss.swig_ptr(query),
        faiss.swig_ptr(matrix),
        matrix.shape[1],
        len(matrix),
    )
    return found


def _inner_products_at(
    query: NDArray[np.float32], matrix: NDArray[np.float32], slots: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Inner products (S,) of a query (D,) with some rows (S,) of a matrix (N, D)."""
    found = np.empty(len(slots), np.float32)
    _one_thread()
    faiss.fvec_inner_products_by_idx(
        faiss.swig_ptr(found),
        faiss.swig_ptr(query),
        faiss.swig_ptr(matrix),
        faiss.swig_ptr(slots),
        matrix.shape[1],
        1,
        len(slots),
    )
    return found


def _one_thread() -> None:
    """Keep FAISS to one thread, in the thread that calls it.

    Measured: with two threads one query of 100,000 rows takes five times as long. Searches run in
    parallel by queries.
    """
    faiss.omp_set_num_threads(1)
