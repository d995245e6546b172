"""Primary task: a cold streamer searches the warm streamers that share its audience."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from training.evaluation.metrics import DEPTH, ndcg
from training.evaluation.subject import Matrix, top
from training.teachers.id_embeddings import MIN_SHARED


@dataclass(frozen=True, eq=False)
class ColdStartTask:
    """Queries, gallery and relevance judgements.

    Attributes:
        queries: int64 (Q,), rows with at least one relevant streamer.
        gallery: int64 (G,), rows.
        relevant: per query, places of its relevant streamers in the gallery.
    """

    queries: NDArray[np.int64]
    gallery: NDArray[np.int64]
    relevant: list[NDArray[np.int64]]

    def ndcg(self, query: Matrix, gallery: Matrix | None = None) -> NDArray[np.float64]:
        """NDCG@20 per query (Q,) with binary gains; arguments like `ranking`."""
        return ndcg(self.ranking(query, gallery), self.relevant)

    def ranking(
        self, query: Matrix, gallery: Matrix | None = None, depth: int = DEPTH
    ) -> NDArray[np.int64]:
        """Ranked places in the gallery per query (Q, depth).

        Args:
            query: query vectors of all streamers (N, K).
            gallery: gallery vectors of all streamers (N, K); None = `query`.
            depth: length of the ranking.
        """
        found = query if gallery is None else gallery
        return top(query[self.queries], found[self.gallery], depth)


def cold_start_task(
    audience: sp.csr_matrix, queries: NDArray[np.int64], gallery: NDArray[np.int64]
) -> ColdStartTask:
    """Task by audiences: relevant are the 20 nearest by audience cosine that share >= 2 users.

    Args:
        audience: binary (N, U).
        queries: rows; those without a relevant streamer are dropped.
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
    """Task by ID-embeddings (N, E): relevant are the 20 nearest by cosine."""
    norm = np.linalg.norm(vectors[gallery], axis=1, keepdims=True)
    found = top(vectors[queries], vectors[gallery] / np.maximum(norm, 1e-9), DEPTH)
    return ColdStartTask(queries, gallery, list(found))
