"""Nearest rows by inner product: exact while there are few, by FAISS's 4-bit codes beyond.

Vectors of very different norms have no clusters to look into: inverted lists had to look at a
quarter of all for a recall of 0.96. A scan of 4-bit codes is as good for any norms, and the best
are scored again by the vectors.
"""

from collections.abc import Callable
from typing import Any, cast

import faiss as untyped_faiss  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
from numpy.typing import NDArray

faiss = cast(Any, untyped_faiss)  # its own stubs have no types for its Python-side functions

EXACT_ROWS = 100_000
"""Up to so many rows each one is looked at."""
RECALL = 0.98
"""Share of the exact answer that codes must give on the probes, or all is scanned."""
_DEPTHS = (2, 4, 8, 16, 32)
"""So many times the rows that may be asked for are scored again; the first that is enough."""
_PROBES = 64
_TRAINED_ON = 50_000
_POINTS_PER_LIST = 40
_BLOCK = 1 << 16
Found = tuple[NDArray[np.int64], NDArray[np.float32]]


class InnerProductIndex:
    """Rows (n, E) that are searched by inner product; norms are kept, and count.

    It does not change any more, and may be searched from several threads. Vectors are not copied:
    beside them there are 4 bits of each component.

    Attributes:
        recall: share of the exact answer, as measured on the probes; 1.0 where it is exact.
    """

    def __init__(
        self,
        vectors: NDArray[np.float32],
        probes: NDArray[np.float32],
        *,
        most: int,
        exact_rows: int = EXACT_ROWS,
        recall: float = RECALL,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        """Build the index; takes ten seconds for a million rows of 64.

        Args:
            vectors: (n, E), which must not change.
            probes: (p, E), questions on which the recall is measured.
            most: rows of a question that codes answer; for more, each row is looked at.
            exact_rows: up to so many rows all are scanned.
            recall: that codes must reach.
            tick: called now and then; may raise to end the work.
        """
        self._vectors = vectors
        self._most = most
        self._depth = 0
        self._codes: Any = None
        self.recall = 1.0
        if len(vectors) > exact_rows and len(probes):
            self._build(probes[:_PROBES].astype(np.float32), recall, tick)

    @property
    def is_exact(self) -> bool:
        """Whether each row is looked at."""
        return self._codes is None

    @property
    def cost_ms(self) -> float:
        """What a search is expected to take of one core."""
        return self._vectors.size / (2.5e6 if self.is_exact else 2e7) + self._depth / 4e3

    def search(self, query: NDArray[np.float32], k: int) -> Found:
        """The best rows for a query (E,): up to k of them, best first, and their scores."""
        if self._codes is None or k > self._most:
            return _best(self._vectors @ query, None, k)
        faiss.omp_set_num_threads(1)  # of this thread; others need the other cores
        _, rows = self._codes.search(query[None].astype(np.float32), self._depth)  # (1, depth)
        rows = np.sort(rows[0][rows[0] >= 0])  # read in the order in which they lie: thrice as fast
        return _best(np.take(self._vectors, rows, axis=0) @ query, rows, k)

    def _build(self, probes: NDArray[np.float32], recall: float, tick: Callable[[], None]) -> None:
        faiss.omp_set_num_threads(1)  # of this thread; searches need the other cores
        count, width = self._vectors.shape
        codes = faiss.IndexPQFastScan(width, width, 4, faiss.METRIC_INNER_PRODUCT)
        rng = np.random.default_rng(count)
        sample = np.sort(rng.permutation(count)[:_TRAINED_ON])
        codes.train(self._vectors[sample])
        for begin in range(0, count, _BLOCK):
            tick()
            codes.add(np.ascontiguousarray(self._vectors[begin : begin + _BLOCK]))
        exact = _best_of_many(self._vectors, probes, self._most, tick)
        # Measured on a sample, so a little more is asked for.
        goal = recall + (1 - recall) / 4
        self._codes = codes
        for times in _DEPTHS:
            tick()
            self._depth = min(times * self._most, count)
            found = [self.search(probe, self._most)[0] for probe in probes]
            shares = [len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, exact, strict=True)]
            self.recall = float(np.mean(shares))
            if self.recall >= goal:
                return
        self._codes, self._depth, self.recall = None, 0, 1.0


def nearest_of_all(
    vectors: NDArray[np.float32], k: int, tick: Callable[[], None], exact_rows: int = 20_000
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The k nearest others of each row (n, E) of unit length: rows (n, k) and cosines; -1: none.

    Exact for up to `exact_rows`; beyond, by inverted lists of which one in 32 is probed.

    Args:
        vectors: of unit length.
        k: neighbours.
        tick: called now and then; may raise to end the work.
        exact_rows: rows up to which all are compared with all.
    """
    faiss.omp_set_num_threads(1)
    count, width = vectors.shape
    index: Any = faiss.IndexFlatIP(width)
    if count > exact_rows:
        lists = int(2 ** round(np.log2(2 * np.sqrt(count))))
        index = faiss.IndexIVFFlat(
            faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT
        )
        index.cp.niter, index.cp.min_points_per_centroid = 8, 1
        rng = np.random.default_rng(count)
        index.train(vectors[np.sort(rng.permutation(count)[: _POINTS_PER_LIST * lists])])
        index.nprobe = max(lists // 32, 8)
    index.add(vectors)
    near = np.full((count, k), -1, np.int32)
    scores = np.zeros((count, k), np.float32)
    for begin in range(0, count, 2048):
        tick()
        part = slice(begin, min(begin + 2048, count))
        products, rows = index.search(vectors[part], k + 1)
        own = rows == np.arange(part.start, part.stop)[:, None]  # (b, k + 1)
        own[~own.any(1), -1] = True  # who did not find itself drops its last
        near[part] = rows[~own].reshape(len(rows), k)
        scores[part] = products[~own].reshape(len(rows), k)
    return near, np.where(near >= 0, scores, 0)


def _best_of_many(
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    k: int,
    tick: Callable[[], None],
) -> list[NDArray[np.int64]]:
    """The best k rows for each query (q, E), exactly; reads the vectors once for all queries."""
    kept: list[Found] = [_best(np.zeros(0, np.float32), None, k)] * len(queries)
    for begin in range(0, len(vectors), _BLOCK):
        tick()
        products = queries @ vectors[begin : begin + _BLOCK].T  # (q, b)
        for i, (rows, scores) in enumerate(kept):
            mine, least = products[i], scores[-1] if len(scores) == k else -np.inf
            new = np.flatnonzero(mine >= least)
            both = np.concatenate([rows, new + begin])
            kept[i] = _best(np.concatenate([scores, mine[new]]), both, k)
    return [rows for rows, _ in kept]


def _best(scores: NDArray[np.float32], rows: NDArray[np.int64] | None, k: int) -> Found:
    k = min(k, len(scores))
    if k <= 0:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    best = np.argpartition(-scores, k - 1)[:k]
    best = best[np.lexsort((best, -scores[best]))]
    return (best if rows is None else rows[best]), scores[best].astype(np.float32)
