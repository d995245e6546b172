"""The primary task: a cold streamer finds the warm ones that share its audience."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from training.evaluation.metrics import DEPTH, ndcg
from training.evaluation.subject import Matrix, top
from training.teachers.id_embeddings import MIN_SHARED


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

    def ndcg(self, query: Matrix, gallery: Matrix | None = None) -> NDArray[np.float64]:
        """NDCG@20 per query (Q,) with binary gains; arguments as `ranking` has them."""
        return ndcg(self.ranking(query, gallery), self.relevant)

    def ranking(
        self, query: Matrix, gallery: Matrix | None = None, depth: int = DEPTH
    ) -> NDArray[np.int64]:
        """The best places in the gallery per query (Q, depth).

        Args:
            query: (N, K), all streamers as they ask.
            gallery: (N, K), all streamers as they are found; None = the same.
            depth: how many.
        """
        found = query if gallery is None else gallery
        return top(query[self.queries], found[self.gallery], depth)


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
    norm = np.linalg.norm(vectors[gallery], axis=1, keepdims=True)
    found = top(vectors[queries], vectors[gallery] / np.maximum(norm, 1e-9), DEPTH)
    return ColdStartTask(queries, gallery, list(found))
