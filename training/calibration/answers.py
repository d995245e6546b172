"""Answers: labelled pairs of queries and gallery that score above a floor."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.calibration.truth import Truth
from training.numeric.blocks import blocks

DEPTH = 100
"""Answers end at the median over queries of their hundredth best score."""


@dataclass(frozen=True, eq=False)
class Answers:
    """All P pairs of a query and an answer above the lowest score, best first.

    Attributes:
        query: int64 (P,), place of the query (below Q).
        score: float32 (P,), descending.
        right: bool (P,), whether the answer is relevant.
        weight: float64 (P,), sampling weight of the pair.
        query_weight: float64 (Q,), sampling weight of the query.
        cluster: int64 (Q,), equal for queries whose answers are dependent.
        base_rate: share of relevant pairs among all pairs.
    """

    query: NDArray[np.int64]
    score: NDArray[np.float32]
    right: NDArray[np.bool_]
    weight: NDArray[np.float64]
    query_weight: NDArray[np.float64]
    cluster: NDArray[np.int64]
    base_rate: float

    def of(self, queries: NDArray[np.bool_]) -> "Answers":
        """Answers of a part of the queries (Q,)."""
        kept = queries[self.query]
        return Answers(
            (np.cumsum(queries) - 1)[self.query[kept]],
            self.score[kept],
            self.right[kept],
            self.weight[kept],
            self.query_weight[queries],
            self.cluster[queries],
            self.base_rate,
        )

    @property
    def per_query(self) -> NDArray[np.float64]:
        """Mean number of answers per query down to each pair (P,)."""
        return np.cumsum(self.weight) / self.query_weight.sum()

    def threshold(self, pairs: int) -> float:
        """Threshold that the first `pairs` pairs reach, half-way to the next score."""
        last = float(self.score[pairs - 1])
        below = float(self.score[pairs]) if pairs < len(self.score) else last
        return (last + below) / 2


def find_answers(
    truth: Truth,
    query: NDArray[np.float32],
    gallery: NDArray[np.float32],
    depth: int = DEPTH,
) -> Answers:
    """Find all pairs that score at least as high as a typical query's answer number `depth`.

    Args:
        truth: queries, gallery and relevance.
        query: unit vectors of the queries (Q, D).
        gallery: unit vectors of the gallery (G, D).
        depth: rank in the whole gallery, of which the given one may be a sample.
    """
    share = len(truth.gallery) / truth.gallery_weight.sum()
    count = min(max(1, round(depth * share)), len(gallery))
    last = [np.partition(s, -count, axis=1)[:, -count] for _, s in _blocks(truth, query, gallery)]
    floor = np.median(np.concatenate(last))
    found: list[tuple[NDArray, NDArray, NDArray, NDArray]] = []
    right_weight = weight = 0.0
    for places, scores in _blocks(truth, query, gallery):
        right = truth.is_right(places)  # (b, G)
        other = np.isfinite(scores)
        right_weight += float(truth.query_weight[places] @ (right & other) @ truth.gallery_weight)
        weight += float(truth.query_weight[places] @ other @ truth.gallery_weight)
        row, column = np.nonzero(other & (scores >= floor))
        pair_weight = truth.query_weight[places[row]] * truth.gallery_weight[column]
        found.append((places[row], scores[row, column], right[row, column], pair_weight))
    queries, scores, right, weights = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.argsort(-scores, kind="stable")
    return Answers(
        queries[order],
        scores[order],
        right[order],
        weights[order],
        truth.query_weight,
        truth.cluster,
        right_weight / max(weight, 1e-9),
    )


def _blocks(
    truth: Truth, query: NDArray[np.float32], gallery: NDArray[np.float32]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Blocks of query places (b,) and scores (b, G); -inf for excluded pairs."""
    for part in blocks(len(query), len(gallery)):
        places = np.arange(part.start, part.stop)
        scores = query[places] @ gallery.T
        rows = truth.queries[places][:, None]
        scores[rows >= truth.gallery if truth.once else rows == truth.gallery] = -np.inf
        yield places, scores
