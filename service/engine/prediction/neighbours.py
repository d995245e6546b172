"""Prediction by the own vectors of the established streamers that show the most similar content."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from service.engine.prediction.linear import cosines, unit

TEMPERATURES = (0.015, 0.03, 0.06, 0.12, 0.25)
DEPTHS = (10, 30, 100)
MOST = max(DEPTHS)
"""Neighbours that are looked up."""
_BLOCK = 1024
_PRODUCTS = 1 << 22
"""Of questions with the known that are held at once: 64 MiB with what sorts them."""


@dataclass(frozen=True, eq=False)
class Near:
    """The established streamers nearest to Q questions, best first.

    Attributes:
        places: int64 (Q, K), among the established.
        scores: float32 (Q, K), cosines of the content.
    """

    places: NDArray[np.int64]
    scores: NDArray[np.float32]


def nearest(questions: NDArray[np.float32], known: NDArray[np.float32], depth: int = MOST) -> Near:
    """The nearest of `known` (n, D) to each question (Q, D), exactly; all of unit length."""
    depth = min(depth, len(known))
    places = np.zeros((len(questions), depth), np.int64)
    scores = np.zeros((len(questions), depth), np.float32)
    block = max(1, _PRODUCTS // max(len(known), 1))
    for begin in range(0, len(questions), block):
        part = slice(begin, begin + block)
        products = questions[part] @ known.T  # (b, n)
        best = np.argpartition(-products, depth - 1, axis=1)[:, :depth]
        values = np.take_along_axis(products, best, 1)
        order = np.argsort(-values, axis=1, kind="stable")
        places[part] = np.take_along_axis(best, order, 1)
        scores[part] = np.take_along_axis(values, order, 1)
    return Near(places, scores)


@dataclass(frozen=True)
class NeighbourWeights:
    """How much the nearest count: softmax of their cosines.

    Attributes:
        temperature: of the softmax.
        depth: how many count.
    """

    temperature: float = 0.06
    depth: int = 30

    def shares(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Weights (..., K) by cosines (..., K), best first; each row sums to 1."""
        if not scores.shape[-1]:
            return scores
        scores = scores[..., : self.depth]
        weights = np.exp((scores - scores[..., :1]) / self.temperature)
        return (weights / weights.sum(-1, keepdims=True)).astype(np.float32)

    def mean(self, near: Near, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Weighted means (Q, E) of the directions of the neighbours' own vectors (n, E)."""
        shares = self.shares(near.scores)  # (Q, K)
        made = np.zeros((len(shares), vectors.shape[1]), np.float32)
        for begin in range(0, len(shares), _BLOCK):
            part = slice(begin, begin + _BLOCK)
            places = near.places[part, : shares.shape[1]]
            made[part] = np.einsum("qk,qke->qe", shares[part], unit(vectors[places]))
        return made


def best_weights(
    near: Near, vectors: NDArray[np.float32], targets: NDArray[np.float32]
) -> NeighbourWeights:
    """The weights with the best mean cosine on held-out questions.

    Args:
        near: of the Q questions.
        vectors: (n, E) of those that may be near.
        targets: (Q, E) own vectors of the questions.
    """

    def best(tried: Sequence[NeighbourWeights]) -> NeighbourWeights:
        values = [float(cosines(weights.mean(near, vectors), targets).mean()) for weights in tried]
        return tried[int(np.argmax(values))]

    chosen = best([NeighbourWeights(temperature) for temperature in TEMPERATURES])
    return best([replace(chosen, depth=depth) for depth in DEPTHS])
