"""Metrics. The primary task: a cold streamer finds the warm ones that share its audience."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

DEPTH = 20
MIN_SHARED = 2
_BLOCK = 512


@dataclass(frozen=True, eq=False)
class ColdStartTask:
    """Queries, the gallery that they search, and what each should find.

    Attributes:
        queries: int64 (Q,) rows that have anything relevant.
        gallery: int64 (G,) rows.
        relevant: per query, the places in the gallery of its relevant streamers.
    """

    queries: NDArray[np.int64]
    gallery: NDArray[np.int64]
    relevant: list[NDArray[np.int64]]

    def ndcg(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """NDCG@20 per query (Q,) of unit vectors (N, D), with binary gains."""
        return ndcg(self.ranking(vectors), self.relevant)

    def ranking(self, vectors: NDArray[np.float32] | sp.csr_matrix) -> NDArray[np.int64]:
        """The best 20 places in the gallery per query (Q, 20)."""
        return top(vectors[self.queries], vectors[self.gallery], DEPTH)


def cold_start_task(
    audience: sp.csr_matrix, queries: NDArray[np.int64], gallery: NDArray[np.int64]
) -> ColdStartTask:
    """Relevant = the 20 nearest of the gallery by audience cosine that share >= 2 users.

    Args:
        audience: binary (N, U).
        queries: rows; those without anything relevant are left out.
        gallery: rows.
    """
    size = np.sqrt(np.diff(audience.indptr)[gallery].clip(min=1))
    common = sp.csr_matrix(audience[queries] @ audience[gallery].T)
    kept, relevant = [], []
    for place, query in enumerate(queries):
        entries = slice(common.indptr[place], common.indptr[place + 1])
        columns, shared = common.indices[entries], np.asarray(common.data[entries])
        columns, shared = columns[shared >= MIN_SHARED], shared[shared >= MIN_SHARED]
        if len(columns):
            order = np.lexsort((columns, np.negative(shared / size[columns])))[:DEPTH]
            kept.append(query)
            relevant.append(columns[order].astype(np.int64))
    return ColdStartTask(np.array(kept, np.int64), gallery, relevant)


def vector_task(
    vectors: NDArray[np.float32], queries: NDArray[np.int64], gallery: NDArray[np.int64]
) -> ColdStartTask:
    """The same by cosine of known ID-embeddings (N, E), for sets that have no audiences."""
    found = top(vectors[queries], vectors[gallery], min(DEPTH, len(gallery)))
    return ColdStartTask(queries, gallery, list(found))


def top(
    queries: NDArray[np.float32] | sp.csr_matrix,
    gallery: NDArray[np.float32] | sp.csr_matrix,
    depth: int,
) -> NDArray[np.int64]:
    """The best places in the gallery per query (Q, depth), best first, equals in their order."""
    rows = len(queries) if isinstance(queries, np.ndarray) else len(queries.indptr) - 1
    best: list[NDArray[np.int64]] = []
    for start in range(0, rows, _BLOCK):
        scores = queries[start : start + _BLOCK] @ gallery.T  # (b, G)
        dense = -np.asarray(scores.toarray() if isinstance(scores, sp.csr_matrix) else scores)
        last = min(depth, dense.shape[1]) - 1
        found = np.sort(np.argpartition(dense, last, axis=1)[:, : last + 1], axis=1)
        order = np.argsort(np.take_along_axis(dense, found, 1), axis=1, kind="stable")
        best.append(np.take_along_axis(found, order, 1))
    return np.concatenate(best)


def ndcg(ranking: NDArray[np.int64], relevant: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Normalised discounted cumulative gain per query (Q,), binary; Järvelin & Kekäläinen 2002."""
    discount = 1 / np.log2(np.arange(2, DEPTH + 2))
    values = np.zeros(len(relevant))
    for query, wanted in enumerate(relevant):
        hits = np.isin(ranking[query, :DEPTH], wanted)
        values[query] = discount[: len(hits)][hits].sum() / discount[: len(wanted)].sum()
    return values


def recall(
    ranking: NDArray[np.int64], relevant: Sequence[NDArray[np.int64]]
) -> NDArray[np.float64]:
    """Share of the relevant that was found, per query (Q,)."""
    return np.array([np.isin(w, ranking[q]).mean() for q, w in enumerate(relevant)])


def hubness(ranking: NDArray[np.int64], gallery_size: int, depth: int = 10) -> float:
    """Skewness of how often each of the gallery is among the best `depth` (Radovanović 2010)."""
    count = np.bincount(ranking[:, :depth].ravel(), minlength=gallery_size).astype(np.float64)
    centred = count - count.mean()
    spread = np.sqrt((centred**2).mean())
    return float((centred**3).mean() / spread**3) if spread > 0 else 0.0


def reciprocal_rank(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """1 / rank of row i of the second among all its rows, searched by row i of the first (Q,)."""
    scores = first @ second.T  # (Q, Q)
    own = np.diag(scores)[:, None]
    return 1 / (1 + (scores > own).sum(1))


def interval(values: NDArray[np.float64], draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the mean over queries; of differences, it is a paired one."""
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(draws)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def pairs_of_groups(groups: NDArray[np.int64], rows: Iterable[int]) -> set[tuple[int, int]]:
    """All pairs (lower row, higher row) of the given rows that are in one group."""
    members: dict[int, list[int]] = {}
    for row in sorted(rows):
        members.setdefault(int(groups[row]), []).append(int(row))
    return {(a, b) for m in members.values() for i, a in enumerate(m) for b in m[i + 1 :]}


def pairwise_f1(found: set[tuple[int, int]], true: set[tuple[int, int]]) -> float:
    """F1 of pairs; 1 when there is nothing to find and nothing was found."""
    if not found and not true:
        return 1.0
    return 2 * len(found & true) / (len(found) + len(true))
