"""The primary task: a cold streamer finds the warm ones that share its audience."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from training.evaluation.metrics import DEPTH, ndcg

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
