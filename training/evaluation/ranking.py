"""The best of a gallery for each query."""

import numpy as np
from numpy.typing import NDArray

from training.evaluation.subject import Matrix, count, scores
from training.numeric.blocks import blocks


def top(queries: Matrix, gallery: Matrix, depth: int) -> NDArray[np.int64]:
    """The best places in the gallery per query (Q, depth), best first, equals in their order.

    Args:
        queries: (Q, K).
        gallery: (G, K); with G < depth all of it is ranked.
        depth: how many.
    """
    rows, size = count(queries), count(gallery)
    best = np.zeros((rows, min(depth, size)), np.int64)
    for part in blocks(rows, size):
        worst_first = -scores(queries[part], gallery)  # (b, G)
        last = np.partition(worst_first, best.shape[1] - 1, axis=1)[:, best.shape[1] - 1]
        for place, row in enumerate(worst_first):
            reached = np.flatnonzero(row <= last[place])  # more than `depth` when the last are tied
            order = np.argsort(row[reached], kind="stable")[: best.shape[1]]
            best[part.start + place] = reached[order]
    return best
