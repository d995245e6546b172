"""Metrics of rankings and of clusterings."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.numeric.blocks import blocks

DEPTH = 20

Relevant = Sequence[NDArray[np.int64]]
"""Per query, places of the relevant streamers in the gallery."""


def hits_of(ranking: NDArray[np.int64], relevant: Relevant) -> NDArray[np.bool_]:
    """Relevance of each ranked place (Q, K)."""
    found = [np.isin(places, wanted) for places, wanted in zip(ranking, relevant, strict=True)]
    return np.array(found, bool).reshape(ranking.shape)


def ndcg(ranking: NDArray[np.int64], relevant: Relevant, depth: int = DEPTH) -> NDArray[np.float64]:
    """Normalised discounted cumulative gain per query (Q,), binary; Järvelin & Kekäläinen 2002."""
    return ndcg_of_hits(hits_of(ranking, relevant), _sizes(relevant), depth)


def ndcg_of_hits(
    hits: NDArray[np.bool_], relevant: NDArray[np.int64], depth: int = DEPTH
) -> NDArray[np.float64]:
    """NDCG per query (Q,) from hits (Q, K) and numbers of relevant streamers >= 1 (Q,)."""
    discount = 1 / np.log2(np.arange(2, depth + 2))
    hits = hits[:, :depth]
    ideal = np.cumsum(discount)[np.minimum(relevant, depth) - 1]
    return hits @ discount[: hits.shape[1]] / ideal


def recall(
    ranking: NDArray[np.int64], relevant: Relevant, depth: int = DEPTH
) -> NDArray[np.float64]:
    """Recall at `depth` per query (Q,)."""
    return hits_of(ranking[:, :depth], relevant).sum(1) / _sizes(relevant)


def reciprocal_rank_of_hit(ranking: NDArray[np.int64], relevant: Relevant) -> NDArray[np.float64]:
    """Reciprocal rank of the first relevant hit per query (Q,); 0 without a hit."""
    hits = hits_of(ranking, relevant)
    return np.where(hits.any(1), 1 / (1 + hits.argmax(1)), 0.0)


def _sizes(relevant: Relevant) -> NDArray[np.int64]:
    return np.array([len(wanted) for wanted in relevant], np.int64)


def hubness(ranking: NDArray[np.int64], gallery_size: int, depth: int = 10) -> float:
    """Hubness: skewness of the k-occurrence at `depth` (Radovanović 2010)."""
    count = np.bincount(ranking[:, :depth].ravel(), minlength=gallery_size).astype(np.float64)
    centred = count - count.mean()
    spread = np.sqrt((centred**2).mean())
    return float((centred**3).mean() / spread**3) if spread > 0 else 0.0


def reciprocal_rank(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """Reciprocal rank of row i of `second` among all its rows, queried by row i of `first` (Q,).

    The rank among rows of equal score is the mean over all their orders.
    """
    ranks = np.zeros(len(first))
    for part in blocks(len(first), len(second)):
        scores = first[part] @ second.T  # (b, Q)
        own = np.diagonal(scores, part.start)[:, None]
        ranks[part] = 1 + (scores > own).sum(1) + ((scores == own).sum(1) - 1) / 2
    return 1 / ranks


def pairs_in_groups(groups: NDArray[np.int64]) -> int:
    """Number of pairs of rows that are in one group, of the group of each row (N,)."""
    _, sizes = np.unique(groups, return_counts=True)
    return int((sizes * (sizes - 1) // 2).sum())


def pairwise_f1(right: int, found: int, true: int) -> float:
    """F1 of found pairs; 1 if there are neither found nor true ones.

    Args:
        right: number of pairs that are found and true.
        found: number of pairs that are found.
        true: number of pairs that are true.
    """
    return 2 * right / (found + true) if found + true else 1.0


def best_threshold(
    cosines: NDArray[np.float32], is_true: NDArray[np.bool_], true_pairs: int
) -> float:
    """Threshold with the best F1, half-way to the next lower cosine.

    Equal cosines are on one side of it.

    Args:
        cosines: of the candidate pairs (P,).
        is_true: which candidates are duplicates (P,).
        true_pairs: number of duplicate pairs, including those that are no candidates.
    """
    order = np.argsort(-cosines, kind="stable")
    cosines, hits = cosines[order], np.cumsum(is_true[order])
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + true_pairs)
    best = int(np.argmax(np.where(np.append(cosines[1:] < cosines[:-1], True), f1, -1)))
    below = cosines[best + 1] if best + 1 < len(cosines) else cosines[best]
    return float(np.clip((cosines[best] + below) / 2, 1e-3, 1))


def b_cubed(
    found: NDArray[np.int64], true: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """B³ precision and recall of each row (N,), (N,); Bagga & Baldwin 1998.

    Precision is the share of a row's found group that is in its true group; recall the reverse.

    Args:
        found: predicted group of each row (N,).
        true: true group of each row (N,).
    """
    both = found * (int(true.max(initial=0)) + 1) + true
    together, in_found, in_true = (_size_of_own(groups) for groups in (both, found, true))
    return together / in_found, together / in_true


def _size_of_own(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    _, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return counts[inverse]


def f1(precision: float, recall: float) -> float:
    """F1: harmonic mean of precision and recall; 0 if both are 0."""
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0
