"""Primary tasks: a cold streamer searches the streamers that share its audience."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from model_export.contract.calibration import MIN_SHARED
from training.evaluation.metrics import DEPTH, ndcg
from training.evaluation.subject import Matrix, top
from training.numeric.sparse import product_blocks


@dataclass(frozen=True, eq=False)
class ColdStartTask:
    """Queries, gallery and relevance judgements.

    A query that is in the gallery itself is never among its own hits.

    Attributes:
        queries: int64 (Q,), rows with at least one relevant streamer.
        gallery: int64 (G,), ascending rows.
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
        """Ranked places in the gallery per query (Q, <= depth), see `ranked`.

        Args:
            query: query vectors of all streamers (N, K).
            gallery: gallery vectors of all streamers (N, K); None = `query`.
            depth: length of the ranking.
        """
        found = query if gallery is None else gallery
        return ranked(query, found, self.queries, self.gallery, depth)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Validation of steps and settings, on both tasks by content.

    Attributes:
        seen: held-out queries against streamers that were learned from.
        unseen: held-out queries against each other.
    """

    seen: ColdStartTask
    unseen: ColdStartTask

    def among(self) -> tuple["HeldOut", NDArray[np.int64]]:
        """The tasks with the streamers of these rows (R,) alone, which are all that they need."""
        tasks = (self.seen, self.unseen)
        rows = np.unique(np.concatenate([part for t in tasks for part in (t.queries, t.gallery)]))
        places = [
            ColdStartTask(
                np.searchsorted(rows, t.queries), np.searchsorted(rows, t.gallery), t.relevant
            )
            for t in tasks
        ]
        return HeldOut(*places), rows

    def ndcg(self, query: Matrix, gallery: Matrix | None = None) -> float:
        """Mean of both tasks' NDCG@20, weighed equally; arguments like `ColdStartTask.ranking`.

        A task without queries does not count; NaN if neither has any.
        """
        values = [
            float(task.ndcg(query, gallery).mean())
            for task in (self.seen, self.unseen)
            if len(task.queries)
        ]
        return sum(values) / len(values) if values else math.nan


def ranked(
    query: Matrix,
    gallery: Matrix,
    asking: NDArray[np.int64],
    searched: NDArray[np.int64],
    depth: int,
) -> NDArray[np.int64]:
    """Best places in the gallery per query (Q, <= depth), without the query itself; ties by place.

    Args:
        query: query vectors of all streamers (N, K).
        gallery: gallery vectors of all streamers (N, K).
        asking: rows of the queries (Q,).
        searched: ascending rows of the gallery (G,).
        depth: length of the ranking.
    """
    own = own_places(asking, searched)
    if (own < 0).all():
        return top(query[asking], gallery[searched], depth)
    found = top(query[asking], gallery[searched], depth + 1)
    others = found != own[:, None]
    # Drop the last hit of queries that did not find themselves, so rows have equal lengths.
    others[others.all(1), -1] = False
    return found[others].reshape(len(found), -1)


def own_places(asking: NDArray[np.int64], searched: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of each query in the ascending gallery (Q,); -1 if it is not there."""
    if not len(searched):
        return np.full(len(asking), -1)
    place = np.searchsorted(searched, asking).clip(max=len(searched) - 1)
    return np.where(searched[place] == asking, place, -1)


def cold_start_task(
    audience: sp.csr_matrix, queries: NDArray[np.int64], gallery: NDArray[np.int64]
) -> ColdStartTask:
    """Task by audiences: relevant are the 20 nearest by audience cosine that share >= 2 users.

    A query in the gallery is not relevant to itself.

    Args:
        audience: binary (N, U).
        queries: rows; those without a relevant streamer are dropped.
        gallery: ascending rows.
    """
    own = own_places(queries, gallery)
    size = np.sqrt(np.diff(audience.indptr)[gallery].clip(min=1))
    asking, by_user = sp.csr_matrix(audience[queries]), sp.csr_matrix(audience[gallery].T)
    kept, relevant = [], []
    for part in product_blocks(asking, by_user):
        common = sp.csr_matrix(asking[part] @ by_user)
        for place, (start, end) in enumerate(pairwise(common.indptr), part.start):
            columns, shared = common.indices[start:end], np.asarray(common.data[start:end])
            related = (shared >= MIN_SHARED) & (columns != own[place])
            columns, shared = columns[related], shared[related]
            if len(columns):
                order = np.lexsort((columns, np.negative(shared / size[columns])))[:DEPTH]
                kept.append(queries[place])
                relevant.append(columns[order].astype(np.int64))
    return ColdStartTask(np.array(kept, np.int64), gallery, relevant)


def vector_task(
    vectors: NDArray[np.float32], queries: NDArray[np.int64], gallery: NDArray[np.int64]
) -> ColdStartTask:
    """Task by ID-embeddings (N, E): relevant are the 20 nearest others by cosine."""
    directions = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    found = ranked(directions, directions, queries, gallery, DEPTH)
    return ColdStartTask(queries if found.shape[1] else queries[:0], gallery, list(found))
