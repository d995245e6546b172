"""Exact search over a dense matrix that is changed in place.

Rows are kept without holes (a removed row is filled with the last one), so FAISS's brute-force
`knn` can read the matrix as it is: nothing to rebuild, no tombstones, and a filter never starves
an answer. A lock keeps readers and the writer apart.
"""

import threading
from collections.abc import Collection, Sequence
from typing import Any, TypeVar, cast

import faiss  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from service.index.base import Facets, Hit, Predicate, Row, Scorer, SearchResult

# One query at a time gains nothing from FAISS's threads and loses to their waiting (measured: two
# threads, 100,000 rows, five times as slow); whoever searches in parallel does so by queries.
cast(Any, faiss).omp_set_num_threads(1)

_INITIAL_ROWS = 1024
_Scalar = TypeVar("_Scalar", bound=np.generic)


class FlatIndex:
    """The exact index; see the module."""

    def __init__(self, dim: int, content_dim: int) -> None:
        """An empty index for embeddings (dim,) and content sketches (content_dim,)."""
        self._embeddings = np.zeros((_INITIAL_ROWS, dim), np.float32)  # (capacity, D)
        self._contents = np.zeros((_INITIAL_ROWS, content_dim), np.float16)  # (capacity, C)
        self._ids: list[str] = []  # of the rows
        self._row_of: dict[str, int] = {}
        self._versions: dict[str, int] = {}  # of all streamers, also those without a vector
        self._facets: dict[str, Facets] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Number of streamers that have a vector."""
        return len(self._ids)

    def upsert(
        self, streamer_id: str, version: int, embedding: bytes, content: bytes, facets: bytes
    ) -> None:
        """Take in a version; see `VectorIndex.upsert`."""
        parsed: Facets = from_json(facets)
        with self._lock:
            if version <= self._versions.get(streamer_id, 0):
                return
            self._versions[streamer_id] = version
            self._facets[streamer_id] = parsed
            if not embedding:
                self._drop_row(streamer_id)
                return
            row = self._row_of.get(streamer_id)
            if row is None:
                row = len(self._ids)
                if row == len(self._embeddings):
                    self._embeddings = _doubled(self._embeddings)
                    self._contents = _doubled(self._contents)
                self._ids.append(streamer_id)
                self._row_of[streamer_id] = row
            self._embeddings[row] = np.frombuffer(embedding, "<f4")
            self._contents[row] = np.frombuffer(content, "<f2")

    def remove(self, streamer_id: str, version: int) -> None:
        """Forget a streamer; see `VectorIndex.remove`."""
        with self._lock:
            if self._versions.get(streamer_id, version) >= version:
                return
            del self._versions[streamer_id]
            del self._facets[streamer_id]
            self._drop_row(streamer_id)

    def get(self, ids: Sequence[str]) -> list[Row | None]:
        """Rows by id; the arrays are copies."""
        with self._lock:
            return [self._get(streamer_id) for streamer_id in ids]

    def _get(self, streamer_id: str) -> Row | None:
        version = self._versions.get(streamer_id)
        if version is None:
            return None
        row = self._row_of.get(streamer_id)
        return Row(
            streamer_id,
            version,
            self._facets[streamer_id],
            None if row is None else self._embeddings[row].copy(),
            None if row is None else self._contents[row].copy(),
        )

    def search(
        self,
        seeds: NDArray[np.float32],
        scorer: Scorer | None,
        k: int,
        *,
        exclude: Collection[str] = (),
        min_score: float | None = None,
        predicate: Predicate | None = None,
    ) -> SearchResult:
        """Exact search; see `VectorIndex.search`."""
        with self._lock:
            rows = np.arange(len(self._ids))  # (N,)
            if predicate is not None:
                keep = [r for r, s in enumerate(self._ids) if predicate(s, self._facets[s])]
                rows = np.array(keep, np.int64)
            matrix = self._embeddings[: len(self._ids)]  # (N, D)
            if len(rows) < len(matrix):
                matrix = matrix[rows]
            excluded = [self._row_of[s] for s in exclude if s in self._row_of]
            if len(rows) == 0:
                return SearchResult((), 0)
            if scorer is None and min_score is None:
                depth = min(len(rows), k + len(excluded))
                found, places = _knn(seeds, matrix, depth)  # both (1, depth)
                reached = len(rows) - int(np.isin(rows, excluded).sum())
                scores, rows = found[0], rows[places[0]]
                live = ~np.isin(rows, excluded)
            else:
                cosines = seeds @ matrix.T  # (Q, N)
                scores = cosines[0] if scorer is None else scorer(cosines)  # (N,)
                live = ~np.isin(rows, excluded)
                if min_score is not None:
                    live &= scores >= min_score
                reached = int(live.sum())
            scores, rows = scores[live], rows[live]
            if len(rows) > k:  # sort only what can be in the answer, ties included
                best = scores >= np.partition(scores, len(scores) - k)[len(scores) - k]
                scores, rows = scores[best], rows[best]
            found_rows = cast(list[int], rows.tolist())
            hits = [Hit(self._ids[r], float(s)) for r, s in zip(found_rows, scores, strict=True)]
        hits.sort(key=lambda hit: (-hit.score, hit.streamer_id))
        return SearchResult(hits[:k], reached)

    def _drop_row(self, streamer_id: str) -> None:
        row = self._row_of.pop(streamer_id, None)
        if row is None:
            return
        last = len(self._ids) - 1
        if row != last:
            self._embeddings[row] = self._embeddings[last]
            self._contents[row] = self._contents[last]
            moved = self._ids[last]
            self._ids[row] = moved
            self._row_of[moved] = row
        self._ids.pop()


def _doubled(matrix: NDArray[_Scalar]) -> NDArray[_Scalar]:
    return np.concatenate([matrix, np.zeros_like(matrix)])


def _knn(
    queries: NDArray[np.float32], matrix: NDArray[np.float32], k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Scores and places (Q, k) of the k rows with the largest inner product, best first."""
    # FAISS's own stubs have no types for its Python-side functions.
    found = cast(Any, faiss).knn(queries, matrix, k, cast(Any, faiss).METRIC_INNER_PRODUCT)
    return cast(tuple[NDArray[np.float32], NDArray[np.int64]], found)
