"""Exact search: every answer looks at every row that may be in it.

Nothing has to be rebuilt, there are no tombstones, and a filter never starves an answer.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from service.files.checksummed import Sealed
from service.index.base import (
    EVERYONE,
    EXACT,
    Hit,
    IndexState,
    Matches,
    Question,
    Row,
    Scorer,
    SearchResult,
    StoredVector,
)
from service.index.faiss import scan
from service.index.faiss.ann.segment import Base
from service.index.faiss.rows.view import View
from service.index.faiss.snapshot import format as image
from service.index.faiss.snapshot.rows import SavedRows
from service.index.filters import Filter

QUICK_ROWS = 20_000
"""Cosines that take about a half of a millisecond (measured: 2 ms for 100,000 of 128 numbers)."""
QUICK_HITS = 100


class FlatIndex:
    """The exact index; see the module."""

    def __init__(
        self,
        dim: int,
        content_dim: int,
        established: Collection[str] = (),
        folder: Path | None = None,
    ) -> None:
        """An empty index for embeddings (dim,) and content sketches (content_dim,).

        What is seldom read lies in a file without a name in `folder`, or where temporary files are.
        """
        self._rows = SavedRows(dim, content_dim, established, folder)

    def __len__(self) -> int:
        """Number of streamers that have a vector."""
        return len(self._rows)

    def upsert(
        self, streamer_id: str, version: int, embedding: bytes, content: bytes, facets: bytes
    ) -> None:
        """Take in a version; see `VectorIndex.upsert`."""
        self._rows.upsert(streamer_id, version, embedding, content, facets)

    def remove(self, streamer_id: str, version: int) -> None:
        """Forget a streamer; see `VectorIndex.remove`."""
        self._rows.remove(streamer_id, version)

    def get(self, ids: Sequence[str]) -> list[Row | None]:
        """Rows by id; the arrays are copies."""
        return self._rows.get(ids)

    def everyone(self) -> list[str]:
        """All ids; see `VectorIndex.everyone`."""
        return self._rows.everyone()

    def vector(self, streamer_id: str) -> StoredVector | None:
        """The vector of one streamer; see `VectorIndex.vector`."""
        return self._rows.vector(streamer_id)

    def reserve(self, rows: int) -> None:
        """Make room for so many streamers."""
        self._rows.reserve(rows)

    def search(
        self,
        seeds: NDArray[np.float32],
        scorer: Scorer | None,
        k: int,
        *,
        exclude: Collection[str] = (),
        min_score: float | None = None,
        wanted: Filter = EVERYONE,
        established_only: bool = False,
        exact: bool = False,
    ) -> SearchResult:
        """Exact search; see `VectorIndex.search`."""
        with self._rows.reading(wanted, exclude, established_only) as view:
            if scorer is None and min_score is None:
                scores, slots = scan.best(seeds[0], k, view)
                reached = view.size
            else:
                scores, slots, reached = _best_scored(seeds, scorer, k, min_score, view)
            return SearchResult(hits_of(scores, slots, view.ids, k), reached)

    def search_many(self, questions: Sequence[Question]) -> list[SearchResult]:
        """One after the other; see `VectorIndex.search_many`."""
        return [self.search(q[None, :], None, k, exclude=out) for q, k, out in questions]

    def matches(
        self,
        seeds: NDArray[np.float32],
        scorer: Scorer | None,
        min_score: float,
        *,
        exclude: Collection[str] = (),
        wanted: Filter = EVERYONE,
    ) -> Matches:
        """Everyone who reaches `min_score`; see `VectorIndex.matches`."""
        with self._rows.reading(wanted, exclude, False) as view:
            scores, slots, _ = _best_scored(seeds, scorer, view.size, min_score, view)
            order: list[int] = np.argsort(-scores, kind="stable").tolist()
            scores = scores[order]
            ids = [view.ids[slots[i]] for i in order]
        equal = np.concatenate([[0], scores[1:] == scores[:-1], [0]]).astype(np.int8)
        edges = np.flatnonzero(np.diff(equal)).reshape(-1, 2)  # first and last of equal ones
        for first, last in edges.tolist():
            ids[first : last + 1] = sorted(ids[first : last + 1])
        return Matches(ids, scores)

    def is_fast(self, k: int) -> bool:
        """As long as there are few; see `VectorIndex.is_fast`."""
        return self.is_quick(k, plain=True)

    def is_quick(self, k: int, *, plain: bool) -> bool:
        """Whether nobody minds waiting for it; see `VectorIndex.is_quick`."""
        return plain and k <= QUICK_HITS and len(self) <= QUICK_ROWS

    def state(self) -> IndexState:
        """How it answers at the moment."""
        return IndexState(EXACT, len(self), None, None)

    def save(self, path: Path, about: Mapping[str, Any], is_stopped: Callable[[], bool]) -> None:
        """Write it to a new folder; see `VectorIndex.save`."""
        with self._rows.imaging() as found:
            image.write(path, found, about, is_stopped)

    def load(self, sealed: Sealed) -> None:
        """Fill it, which is empty, from such a folder; see `VectorIndex.load`."""
        found = image.read(sealed, self._rows.dim, self._rows.stride)
        if found.base is not None and not self._serves(found.base, len(found.covered)):
            found = replace(found, base=None, covered=BitMap())
        self._rows.restore(found)

    def _serves(self, base: Base, covered: int) -> bool:
        """Whether it would use a saved base, of which so many rows are left."""
        return False

    def is_due(self) -> bool:
        """Never: nothing can be prepared."""
        return False

    def audit(self) -> None:
        """Nothing to do: every answer is exact."""

    def rebuild(self, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """Nothing to do."""


def hits_of(
    scores: NDArray[np.float32], slots: Sequence[int], ids: Sequence[str], k: int
) -> list[Hit]:
    """The k best of what was found, best first; equal ones by their ids."""
    found = sorted(zip((-scores).tolist(), map(ids.__getitem__, slots), strict=True))
    return [Hit(name, -x) for x, name in found[:k]]


def _best_scored(
    seeds: NDArray[np.float32], scorer: Scorer | None, k: int, min_score: float | None, view: View
) -> tuple[NDArray[np.float32], list[int], int]:
    """Scores (K,) and slots of the best, K >= k only for ties, and how many reach `min_score`."""
    scores, slots = np.zeros(0, np.float32), np.zeros(0, np.int64)
    reached = 0
    for block_scores, block_slots in scan.scored(seeds, scorer, view):
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
