"""Exact search: every answer is the best of all rows that may be in it.

Nothing has to be rebuilt, there are no tombstones, and a filter never starves an answer.
"""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from service.index.base import EXACT, Hit, IndexState, Matches, SearchResult
from service.index.faiss import scan
from service.index.faiss.rows.table import Rows
from service.index.faiss.rows.view import View
from service.index.filters import Filter
from service.index.query import Query

_MS_PER_NUMBER = 1.6e-7
"""Milliseconds of one product (measured: 2 ms for 100,000 rows of 128 numbers)."""
_MS_PER_HIT, _MS_PER_CONDITION, _MS_PER_VALUE = 0.001, 0.02, 0.001
_MS_PER_FILTERED_ROW = 5e-6
"""Of each condition, which may compare a number of each row."""
_MS_OF_BLAS = 1.0
"""Of several probes: its threads wait for each other, and for cores that others use."""


class FlatSearch:
    """Exact search of rows. Safe to use from several threads."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def search(self, query: Query) -> SearchResult:
        """The best rows for a query, all as of one moment."""
        with self._rows.reading(query.filter, query.exclude, query.established_only) as view:
            is_scored = not query.scoring.is_cosine or query.min_score is not None
            scores, slots, reached = np.empty(0, np.float32), list[int](), view.size
            if not is_scored:
                # One more than asked for shows whether another is as good as the last.
                scores, slots = scan.best(query.scoring.probes()[0], query.k + 1, view)
                is_scored = len(scores) > query.k and _is_cut_at_a_tie(scores)
            if is_scored:
                scores, slots, reached = _best_scored(query, query.k, view)
            hits = hits_of(scores, slots, view.ids, query.k)
            return SearchResult(hits, reached, True, view.unknown)

    def matches(self, query: Query) -> Matches:
        """Everyone who reaches the query's `min_score`, whatever its `k`."""
        with self._rows.reading(query.filter, query.exclude, query.established_only) as view:
            scores, slots, _ = _best_scored(query, view.size, view)
            order: list[int] = np.argsort(-scores, kind="stable").tolist()
            scores = scores[order]
            ids = [view.ids[slots[i]] for i in order]
        equal = np.concatenate([[0], scores[1:] == scores[:-1], [0]]).astype(np.int8)
        edges = np.flatnonzero(np.diff(equal)).reshape(-1, 2)  # first and last of equal ones
        for first, last in edges.tolist():
            ids[first : last + 1] = sorted(ids[first : last + 1])
        return Matches(ids, scores, view.unknown)

    def cost_ms(self, query: Query) -> float:
        """Expected milliseconds of `search` on one core."""
        rows = len(self._rows)
        probes = len(query.scoring.seeds) if query.scoring.strategy == "best_score" else 1
        return (
            (0 if probes == 1 else _MS_OF_BLAS)
            + rows * probes * self._rows.dim * _MS_PER_NUMBER
            + min(query.k, rows) * _MS_PER_HIT
            + view_cost_ms(rows, query.filter, query.exclude)
        )

    def state(self, refused: str | None = None) -> IndexState:
        """How it answers; `refused` says why nothing faster does."""
        return IndexState(EXACT, len(self._rows), None, refused)


def view_cost_ms(rows: int, wanted: Filter, exclude: Collection[str] = ()) -> float:
    """Expected milliseconds of finding those of some rows that a question lets through."""
    conditions = len(wanted.must) + len(wanted.must_not)
    per_condition = _MS_PER_CONDITION + rows * _MS_PER_FILTERED_ROW
    return conditions * per_condition + (wanted.values + len(exclude)) * _MS_PER_VALUE


def hits_of(
    scores: NDArray[np.float32], slots: Sequence[int], ids: Sequence[str], k: int
) -> list[Hit]:
    """The k best of what was found, best first; equal ones by their ids."""
    found = sorted(zip((-scores).tolist(), map(ids.__getitem__, slots), strict=True))
    return [Hit(name, -x) for x, name in found[:k]]


def _is_cut_at_a_tie(scores: NDArray[np.float32]) -> bool:
    """Whether the two lowest of some scores (K,) are equal: which one stays depends on slots."""
    if len(scores) < 2:
        return False
    lowest, second = np.partition(scores, 1)[:2].tolist()
    return lowest == second


def _best_scored(query: Query, k: int, view: View) -> tuple[NDArray[np.float32], list[int], int]:
    """Scores (K,) and slots of the best, K >= k only for ties, and how many reach `min_score`."""
    scores, slots = np.zeros(0, np.float32), np.zeros(0, np.int64)
    reached, min_score = 0, query.min_score
    for block_scores, block_slots in scan.scored(query.scoring, view):
        if min_score is not None:
            enough = block_scores >= min_score
            block_scores, block_slots = block_scores[enough], block_slots[enough]
        reached += len(block_slots)
        scores = np.concatenate([scores, block_scores])
        slots = np.concatenate([slots, block_slots])
        if len(scores) > k:  # keep only what can be in the answer, ties included
            best = scores >= np.partition(scores, len(scores) - k)[len(scores) - k]
            scores, slots = scores[best], slots[best]
    return scores, slots.tolist(), reached
