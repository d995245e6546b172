"""Metrics of rankings and of groups."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

DEPTH = 20


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
