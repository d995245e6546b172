"""Positives: a streamer's nearest by behaviour, weighted by how near and how alike in content.

Behaviour is who watches whom, where that is known, or else the cosine of ID-embeddings.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import expit

MIN_SHARED = 2
"""Two streamers with fewer users in common share them by chance."""
_BLOCK = 1024

Neighbours = tuple[NDArray[np.int64], NDArray[np.float32]]
"""The nearest other rows, best first, and how near they are; both (N, K)."""


@dataclass(frozen=True, eq=False)
class Positives:
    """The weighted positives of N streamers.

    Attributes:
        near: int64 (N, K), the nearest by behaviour, best first.
        cumulative: float32 (N, K), running sum of their weights, to draw from.
        weights: (N, N) sparse, the weights made symmetric with the larger of both.
    """

    near: NDArray[np.int64]
    cumulative: NDArray[np.float32]
    weights: sp.csr_matrix

    @property
    def anchors(self) -> NDArray[np.int64]:
        """The rows that have a positive."""
        return np.flatnonzero(self.cumulative[:, -1] > 0)

    def draw(self, anchors: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """One positive per anchor (A,), by weight."""
        cumulative = self.cumulative[anchors]  # (A, K)
        at = (1 - rng.random(len(anchors), np.float32)) * cumulative[:, -1]  # in (0, total]
        pick = (cumulative < at[:, None]).sum(1).clip(0, self.near.shape[1] - 1)
        return self.near[anchors, pick]


def by_audience(audience: sp.csr_matrix, count: int) -> Neighbours:
    """The nearest by cosine of binary audiences (N, U); 0 for those that share too few users."""
    size = np.sqrt(np.diff(audience.indptr).clip(1)).astype(np.float32)

    def block(start: int, stop: int) -> NDArray[np.float32]:
        shared = (audience[start:stop] @ audience.T).toarray().astype(np.float32)
        shared[shared < MIN_SHARED] = 0
        return shared / size[start:stop, None] / size

    return _nearest(block, len(size), count)


def by_direction(directions: NDArray[np.float32], count: int) -> Neighbours:
    """The nearest by cosine of unit rows (N, E)."""
    return _nearest(lambda a, b: directions[a:b] @ directions.T, len(directions), count)


def _nearest(block: Callable[[int, int], NDArray[np.float32]], rows: int, count: int) -> Neighbours:
    """The `count` best other columns of each row, from blocks of the (N, N) similarities."""
    count = min(count, rows - 1)
    near = np.zeros((rows, count), np.int64)
    nearness = np.zeros((rows, count), np.float32)
    for start in range(0, rows, _BLOCK):
        part = slice(start, min(start + _BLOCK, rows))
        similar = block(part.start, part.stop)  # (b, N)
        similar[np.arange(len(similar)), np.arange(part.start, part.stop)] = -np.inf
        found = np.argpartition(-similar, count - 1, axis=1)[:, :count]
        values = np.take_along_axis(similar, found, 1)
        order = np.lexsort((found, -values))
        near[part] = np.take_along_axis(found, order, 1)
        nearness[part] = np.take_along_axis(values, order, 1)
    return near, nearness


def fall_from_best(nearness: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """exp((t_ij - max_j t_ij) / temperature) of ID cosines t (N, K)."""
    return np.exp((nearness - nearness[:, :1]) / temperature)


def share_of_best(nearness: NDArray[np.float32], power: float) -> NDArray[np.float32]:
    """(t_ij / max_j t_ij) ** power of audience cosines t (N, K); 0 where nothing is shared."""
    share = nearness / np.maximum(nearness[:, :1], 1e-9)
    return np.power(share, power, dtype=np.float32)


def weigh(
    near: NDArray[np.int64],
    behaviour: NDArray[np.float32],
    content: NDArray[np.float32],
    floor: float,
    rng: np.random.Generator,
) -> Positives:
    """w_ij = behaviour_ij * (floor + (1 - floor) * s((c_ij - theta) / (.25 std c))).

    s is the logistic function, c the cosine of content, theta the 90th percentile of c over random
    pairs: a soft form of dropping positives of other content.

    Args:
        near: the candidates (N, K).
        behaviour: their weights so far (N, K).
        content: unit content vectors (N, H).
        floor: what is left of a pair of quite other content.
        rng: of the random pairs.
    """
    rows, count = near.shape
    c = np.einsum("nd,nkd->nk", content, content[near])
    theta = np.quantile((content * content[rng.permutation(rows)]).sum(1), 0.9)
    alike = expit((c - theta) / max(0.25 * c.std(), 1e-3))
    weights = (behaviour * (floor + (1 - floor) * alike)).astype(np.float32)
    index = (np.repeat(np.arange(rows), count), near.ravel())
    pairs = sp.csr_matrix((weights.ravel(), index), shape=(rows, rows))
    pairs.eliminate_zeros()
    return Positives(near, np.cumsum(weights, 1), sp.csr_matrix(pairs.maximum(pairs.T)))
