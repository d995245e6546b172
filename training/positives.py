"""Positives: a streamer's nearest in ID space, weighted by how near and by how alike in content."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import expit

_BLOCK = 2048


@dataclass(frozen=True, eq=False)
class Positives:
    """The weighted positives of N streamers.

    Attributes:
        near: int64 (N, K), the nearest in ID space, best first.
        cumulative: float32 (N, K), running sum of their weights, to draw from.
        weights: (N, N) sparse, the weights made symmetric with the larger of both.
    """

    near: NDArray[np.int64]
    cumulative: NDArray[np.float32]
    weights: sp.csr_matrix

    def draw(self, anchors: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """One positive per anchor (A,), by weight."""
        cumulative = self.cumulative[anchors]  # (A, K)
        at = rng.random(len(anchors), np.float32) * cumulative[:, -1]
        pick = (cumulative < at[:, None]).sum(1).clip(0, self.near.shape[1] - 1)
        return self.near[anchors, pick]


def find_positives(
    directions: NDArray[np.float32],
    content: NDArray[np.float32],
    neighbours: int,
    temperature: float,
    rng: np.random.Generator,
) -> Positives:
    """Each streamer's nearest in ID space, weighted.

        w_ij = exp((t_ij - max_j t_ij) / temperature) * (.1 + .9 s((c_ij - theta) / (.25 std c)))

    s is the logistic function, t the cosine in ID space, c the one of content, theta the 90th
    percentile of c over random pairs: a soft form of dropping positives of other content.

    Args:
        directions: unit ID-embeddings (N, E), N >= 2.
        content: unit content vectors (N, H).
        neighbours: K, at most N - 1 are found.
        temperature: how fast the weight falls with the ID cosine.
        rng: of the random pairs.
    """
    near, t = nearest(directions, min(neighbours, len(directions) - 1))
    c = np.einsum("nd,nkd->nk", content, content[near])
    random_pairs = (content * content[rng.permutation(len(content))]).sum(1)
    theta = np.quantile(random_pairs, 0.9)
    alike = expit((c - theta) / max(0.25 * c.std(), 1e-3))
    weights = (np.exp((t - t[:, :1]) / temperature) * (0.1 + 0.9 * alike)).astype(np.float32)
    rows = np.repeat(np.arange(len(near)), near.shape[1])
    pairs = sp.csr_matrix((weights.ravel(), (rows, near.ravel())), shape=(len(near), len(near)))
    return Positives(near, np.cumsum(weights, 1), sp.csr_matrix(pairs.maximum(pairs.T)))


def nearest(
    directions: NDArray[np.float32], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The nearest other rows by exact cosine, best first, and the cosines; both (N, count)."""
    near = np.zeros((len(directions), count), np.int64)
    cosines = np.zeros((len(directions), count), np.float32)
    for start in range(0, len(directions), _BLOCK):
        block = directions[start : start + _BLOCK] @ directions.T  # (b, N)
        rows = np.arange(len(block))
        block[rows, start + rows] = -np.inf
        found = np.argpartition(-block, count - 1, axis=1)[:, :count]
        values = np.take_along_axis(block, found, 1)
        order = np.lexsort((found, -values))
        near[start : start + len(block)] = np.take_along_axis(found, order, 1)
        cosines[start : start + len(block)] = np.take_along_axis(values, order, 1)
    return near, cosines
