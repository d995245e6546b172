"""Nearest rows by inner product: exact while there are few, by FAISS's 4-bit codes beyond.

Vectors of very different norms have no clusters to look into: inverted lists had to look at a
quarter of all for a recall of 0.96. A scan of 4-bit codes is as good for any norms, and the best
are scored again by the vectors.

Codes lie in bands, the longest vectors first. No inner product is larger than the product of the
lengths, so the scan ends where no vector that is left can reach the best that were found
(LEMP: Teflioudi et al. 2015, "Fast Retrieval of Large Entries in a Matrix Product").
"""

import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from typing import Any, cast

import faiss as untyped_faiss  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
from numpy.typing import NDArray

from service.engine.spaces.array_file import Keep
from service.engine.spaces.row_vectors import RowVectors

faiss = cast(Any, untyped_faiss)  # its own stubs have no types for its Python-side functions

EXACT_ROWS = 100_000
"""Up to so many rows each one is looked at."""
RECALL = 0.98
"""Share of the exact answer that codes must give on the probes, or all is scanned."""
_DEPTHS = (2, 4, 8, 16, 32)
"""So many times the rows that are asked for are scored again; the first that is enough."""
_LEAST_DEPTH = 256
_PROBES = 64
_TRAINED_ON = 20_000
_FIRST_BAND = 1 << 16
"""Rows of the first band; each of the next has as many as all before, or all that are left."""
_ALIKE = 1.25
"""Vectors whose lengths are in no larger proportion, but for few, are in one band."""
_POINTS_PER_LIST = 40
_BLOCK = 1 << 16
_FEW_ALLOWED = 20_000
"""Allowed rows that are scored one by one."""
Found = tuple[NDArray[np.int64], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Allowed:
    """Rows that an answer may have.

    Attributes:
        mask: bool (n,).
        count: how many they are.
        rows: int64 (count,), ascending, where they are few enough to score each; None otherwise.
    """

    mask: NDArray[np.bool_]
    count: int = field(init=False)
    rows: NDArray[np.int64] | None = field(init=False)

    def __post_init__(self) -> None:
        """Count them."""
        count = int(np.count_nonzero(self.mask))
        object.__setattr__(self, "count", count)
        few = np.flatnonzero(self.mask) if count <= _FEW_ALLOWED else None
        object.__setattr__(self, "rows", few)


class _Band:
    """Some rows, none of them longer than those of the band before.

    Attributes:
        longest: length of the longest.
        count: rows of it.
    """

    def __init__(
        self,
        codes: Any,
        rows: NDArray[np.int32] | None,
        longest: float,
        count: int,
        stored: NDArray[np.uint8] | None = None,
    ) -> None:
        """Of FAISS's codes, or of what they were serialised to, and their rows, None: the same."""
        self._codes = codes
        self._stored = stored
        self._rows = rows
        self.longest = longest
        self.count = count

    @property
    def codes(self) -> Any:
        """The codes, which are read when they are used first."""
        if self._codes is None:
            self._codes = faiss.deserialize_index(self._stored)
        return self._codes

    def rows_at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows by their places."""
        return places if self._rows is None else self._rows[places].astype(np.int64)

    def kept(self, keep: Keep) -> "_Band":
        """A copy with its arrays elsewhere."""
        rows = None if self._rows is None else keep(self._rows)
        stored = keep(faiss.serialize_index(self.codes))
        return _Band(None, rows, self.longest, self.count, stored)


class InnerProductIndex:
    """Rows (n, E) that are searched by inner product; norms are kept, and count.

    It does not change any more, and may be searched from several threads. Vectors are not copied:
    beside them there are 4 bits of each component.

    Attributes:
        vectors: (n, E).
        recall: share of the exact answer, as measured on the probes; 1.0 where it is exact.
        cost_ms: what a search takes of one core, as measured, or as is expected where it is exact.
    """

    def __init__(
        self,
        vectors: RowVectors,
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
        self.vectors = vectors
        self._most = most
        self._times = 0
        self._bands: list[_Band] = []
        self.recall = 1.0
        self.cost_ms = len(vectors) * vectors.shape[1] / 2.5e6
        if len(vectors) > exact_rows and len(probes):
            self._build(probes[:_PROBES].astype(np.float32), recall, tick)

    @property
    def is_exact(self) -> bool:
        """Whether each row is looked at."""
        return not self._bands

    @property
    def most(self) -> int:
        """For more rows than this each one is looked at, which costs more than `cost_ms`."""
        return self._most if self._bands else len(self.vectors)

    def kept(self, vectors: RowVectors, keep: Keep) -> "InnerProductIndex":
        """A copy with its arrays elsewhere, as its vectors are already."""
        made = copy(self)
        made.vectors = vectors
        made._bands = [band.kept(keep) for band in self._bands]
        return made

    def search(self, query: NDArray[np.float32], k: int, allowed: Allowed | None = None) -> Found:
        """The best rows for a query (E,): up to k of them, best first, and their scores.

        Args:
            query: what rows are multiplied with.
            k: how many at most.
            allowed: the rows that may be among them; None: all.
        """
        if allowed is not None and allowed.rows is not None:
            return _best(self.vectors.scores(query, allowed.rows), allowed.rows, k)
        if not self._bands or k > self._most:
            scores = self.vectors.scores(query)
            if allowed is not None:
                scores[~allowed.mask] = -np.inf
                k = min(k, allowed.count)
            return _best(scores, None, k)
        faiss.omp_set_num_threads(1)  # of this thread; others need the other cores
        share = 1.0 if allowed is None else allowed.count / len(self.vectors)
        depth = max(int(self._times * k / share), _LEAST_DEPTH)
        if allowed is not None and depth >= allowed.count:
            rows = np.flatnonzero(allowed.mask)
            return _best(self.vectors.scores(query, rows), rows, k)
        length = float(np.linalg.norm(query))
        rows, scores = np.zeros(0, np.int64), np.zeros(0, np.float32)
        # The first band has nearly all of the best: those of all others are scored together, since
        # each array waits for Python's lock.
        for bands in (self._bands[:1], self._bands[1:]):
            least = float(scores[-1]) if len(scores) == k else -np.inf
            new = [
                self._candidates(band, query, depth, k, least, allowed)
                for band in bands
                if least < length * band.longest
            ]
            if new:
                more = np.concatenate(new)
                found = np.concatenate([scores, self.vectors.scores(query, more)])
                rows, scores = _best(found, np.concatenate([rows, more]), k)
        return rows, scores

    def _candidates(
        self,
        band: _Band,
        query: NDArray[np.float32],
        depth: int,
        k: int,
        least: float,
        allowed: Allowed | None,
    ) -> NDArray[np.int64]:
        """Rows of a band that may be among the best k, of which the last has the score `least`."""
        count = min(depth, band.count)
        about, places = band.codes.search(query[None].astype(np.float32), count)  # (1, count)
        rows = band.rows_at(np.sort(places[0]))  # read in the order in which they lie is faster
        if allowed is None:
            return rows
        rows = rows[allowed.mask[rows]]
        if len(rows) < k and count < band.count and about[0, -1] > least:
            # Those that were looked at are hardly allowed here, and others may be better.
            rows = band.rows_at(np.arange(band.count))
            rows = rows[allowed.mask[rows]]
        return rows

    def _build(self, probes: NDArray[np.float32], recall: float, tick: Callable[[], None]) -> None:
        faiss.omp_set_num_threads(1)  # of this thread; searches need the other cores
        exact = _best_of_many(self.vectors, probes, self._most, tick)
        self._bands = self._made_bands(tick)
        # Measured on a sample, so a little more is asked for.
        goal = recall + (1 - recall) / 4
        for self._times in _DEPTHS:
            tick()
            begin = time.thread_time()
            found = [self.search(probe, self._most)[0] for probe in probes]
            self.cost_ms = 1000 * (time.thread_time() - begin) / len(probes)
            shares = [len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, exact, strict=True)]
            self.recall = float(np.mean(shares))
            if self.recall >= goal:
                return
        self._bands, self._times, self.recall = [], 0, 1.0
        self.cost_ms = len(self.vectors) * self.vectors.shape[1] / 2.5e6

    def _made_bands(self, tick: Callable[[], None]) -> list[_Band]:
        count = len(self.vectors)
        lengths = self.vectors.lengths()  # (n,)
        short, long = np.quantile(lengths, [0.01, 0.99]).tolist()
        if long <= _ALIKE * short:
            return [self._band(None, count, float(lengths.max()), tick)]
        order = np.argsort(-lengths, kind="stable").astype(np.int32)
        bands: list[_Band] = []
        begin, end = 0, (_FIRST_BAND if count > 2 * _FIRST_BAND else count)
        while begin < count:
            rows = order[begin:end]
            bands.append(self._band(rows, len(rows), float(lengths[rows[0]]), tick))
            begin, end = end, (2 * end if count > 3 * end else count)
        return bands

    def _band(
        self, rows: NDArray[np.int32] | None, count: int, longest: float, tick: Callable[[], None]
    ) -> _Band:
        width = self.vectors.shape[1]
        codes = faiss.IndexPQFastScan(width, width, 4, faiss.METRIC_INNER_PRODUCT)
        sample = np.sort(np.random.default_rng(count).permutation(count)[:_TRAINED_ON])
        codes.train(self.vectors.take(sample if rows is None else rows[sample]))
        for begin in range(0, count, _BLOCK):
            tick()
            end = min(begin + _BLOCK, count)
            if rows is None:
                codes.add(np.ascontiguousarray(self.vectors.block(begin, end)))
            else:
                codes.add(self.vectors.take(rows[begin:end]))
        return _Band(codes, rows, longest, count)


def nearest_of_all(
    vectors: NDArray[np.float32],
    k: int,
    tick: Callable[[], None],
    exact_rows: int = 20_000,
    wanted: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The k nearest others of w rows: rows (w, k) and cosines; -1: none.

    Beyond `exact_rows` by inverted lists, of which one in 32 is probed.

    Args:
        vectors: (n, E) of unit length.
        k: neighbours.
        tick: called now and then; may raise to end the work.
        wanted: (w,) whose neighbours are looked for; None = everybody's.
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
    rows_of_all: NDArray[np.int64] = np.arange(count, dtype=np.int64)
    wanted = rows_of_all if wanted is None else wanted
    near = np.full((len(wanted), k), -1, np.int32)
    scores = np.zeros((len(wanted), k), np.float32)
    for begin in range(0, len(wanted), 2048):
        tick()
        part = slice(begin, begin + 2048)
        products, rows = index.search(vectors[wanted[part]], k + 1)
        own = rows == wanted[part, None]  # (b, k + 1)
        own[~own.any(1), -1] = True  # who did not find itself drops its last
        near[part] = rows[~own].reshape(len(rows), k)
        scores[part] = products[~own].reshape(len(rows), k)
    return near, np.where(near >= 0, scores, 0)


def _best_of_many(
    vectors: RowVectors,
    queries: NDArray[np.float32],
    k: int,
    tick: Callable[[], None],
) -> list[NDArray[np.int64]]:
    """The best k rows for each query (q, E), exactly; reads the vectors once for all queries."""
    kept: list[Found] = [_best(np.zeros(0, np.float32), None, k)] * len(queries)
    for begin in range(0, len(vectors), _BLOCK):
        tick()
        products = queries @ vectors.block(begin, begin + _BLOCK).T  # (q, b)
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
