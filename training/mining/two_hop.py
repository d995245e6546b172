"""Two-hop neighbours by one graph propagation step, for streamers with few direct neighbours.

The step is that of LightGCN (He et al. 2020, https://arxiv.org/abs/2002.02126): with the symmetric
k-NN graph G of cosines and the graph S of the strongest edges, two-hop proximity is
(D^-1/2 S D^-1/2) G, where D is the diagonal of the row sums of S.
"""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from training.numeric.sparse import product_blocks, sparse_top_k
from training.numeric.topk import neighbour_graph

_STEP = 20
"""Strongest neighbours per streamer in the first hop."""


def fill_empty_places(
    near: NDArray[np.integer],
    cosines: NDArray[np.float32],
    weights: NDArray[np.float32],
    share: float,
    able: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.integer], NDArray[np.float32]]:
    """Fill empty neighbour places with two-hop neighbours; rows without any neighbour stay empty.

    Args:
        near: neighbours (N, K), best first.
        cosines: their cosines (N, K).
        weights: their weights (N, K); 0 for empty places, which come last.
        share: weight of the best two-hop neighbour, relative to 1 for the best neighbour; other
            two-hop weights are proportional to their proximity.
        able: which streamers may be found (N,); None = all.

    Returns:
        Neighbours and weights (N, K); direct neighbours stay in place.
    """
    count = near.shape[1]
    direct = weights > 0
    known = np.where(direct, cosines, 0).astype(np.float32)
    graph = neighbour_graph(near, known)
    strong = neighbour_graph(near[:, :_STEP], known[:, :_STEP])
    scale = sp.diags_array(1 / np.sqrt(np.maximum(np.asarray(strong.sum(1)).ravel(), 1e-9)))
    step = sp.csr_matrix(scale @ strong @ scale)
    near, weights = near.copy(), weights.copy()
    lacking = np.flatnonzero(~direct.all(1) & direct.any(1))
    steps, edges = step[lacking], graph[lacking]
    for part in product_blocks(steps, graph):
        some, nearness = lacking[part], sp.csr_matrix(steps[part] @ graph)  # (b, N)
        direct_too = sp.csr_matrix(nearness.multiply(edges[part] > 0))  # in either direction
        nearness = sp.csr_matrix(nearness - direct_too)
        own = np.repeat(some, np.diff(nearness.indptr))
        wrong = nearness.indices == own
        if able is not None:
            wrong |= ~able[nearness.indices]
        nearness.data[wrong] = 0
        nearness.eliminate_zeros()
        found, values = sparse_top_k(nearness, count)
        falling = share * values / np.maximum(values[:, :1], 1e-9)
        for row, new, more in zip(some, found, falling, strict=True):
            there = int(direct[row].sum())
            near[row, there:] = new[: count - there]
            weights[row, there:] = more[: count - there]
    return near, weights
