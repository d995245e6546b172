"""Neighbours of neighbours, for streamers that have few neighbours of their own.

One step of LightGCN's propagation (He et al. 2020, https://arxiv.org/abs/2002.02126): with G the
cosines of neighbours, both ways, and S the strongest of them, two-hop nearness is
(D^-1/2 S D^-1/2) G, where D are the row sums of S.
"""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from training.numeric.blocks import blocks
from training.numeric.topk import neighbour_graph, top_k

_STEP = 20
"""So many strongest neighbours lead on to theirs."""


def fill_empty_places(
    near: NDArray[np.int64],
    cosines: NDArray[np.float32],
    weights: NDArray[np.float32],
    share: float,
    able: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Put neighbours of neighbours where there are no neighbours; who has none at all stays alone.

    Args:
        near: neighbours (N, K), best first.
        cosines: theirs (N, K).
        weights: theirs (N, K); 0 where there is none, after all others.
        share: weight of a row's nearest neighbour of neighbours, where 1 is that of its nearest
            neighbour; the others' falls in proportion to nearness.
        able: who may be found (N,); by default everybody.

    Returns:
        near and weights (N, K), with what was there in place.
    """
    rows, count = near.shape
    direct = weights > 0
    known = np.where(direct, cosines, 0).astype(np.float32)
    graph = neighbour_graph(near, known)
    strong = neighbour_graph(near[:, :_STEP], known[:, :_STEP])
    scale = sp.diags_array(1 / np.sqrt(np.maximum(np.asarray(strong.sum(1)).ravel(), 1e-9)))
    step = sp.csr_matrix(scale @ strong @ scale)
    near, weights = near.copy(), weights.copy()
    lacking = np.flatnonzero(~direct.all(1) & direct.any(1))
    for part in blocks(len(lacking), rows):
        some = lacking[part]
        nearness = (step[some] @ graph).toarray()  # (b, N)
        nearness[graph[some].toarray() > 0] = 0  # neighbours already, if only the other's
        nearness[np.arange(len(some)), some] = 0
        if able is not None:
            nearness[:, ~able] = 0
        found, values = top_k(nearness, count)
        falling = share * values / np.maximum(values[:, :1], 1e-9)
        for row, new, more in zip(some, found, falling, strict=True):
            there = int(direct[row].sum())
            near[row, there:] = new[: count - there]
            weights[row, there:] = more[: count - there]
    return near, weights
