"""Predicts the ID-embedding of who has none, from content."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.engine.prediction.confidence import Confidence, Signs
from service.engine.prediction.linear import LinearMap, cosines, unit
from service.engine.prediction.neighbours import Near, NeighbourWeights

Source = Literal["mapped", "neighbours"]
_NEAREST = 10
"""Neighbours whose mean cosine tells how well the region is known."""


@dataclass(frozen=True, eq=False)
class Way:
    """A linear way from an embedding to the space: a ridge map, or the bundle's head, rotated.

    Attributes:
        name: `ridge` or `head`.
        map: from an embedding (D,) to a vector (E,).
        weight: its share of the blend, non-negative.
    """

    name: str
    map: LinearMap
    weight: float


@dataclass(frozen=True, eq=False)
class Predictions:
    """Vectors of Q questions, and what they are judged by.

    Attributes:
        vectors: float32 (Q, E), of the length that their neighbours' own vectors have.
        signs: see `Signs`.
    """

    vectors: NDArray[np.float32]
    signs: Signs


@dataclass(frozen=True, eq=False)
class Predictor:
    """A blend of linear maps and of the neighbours' own vectors.

    Attributes:
        ways: linear maps, at least one, each with its share; a share may be 0.
        weights: how much which neighbours count.
        neighbour_weight: share of the neighbours' mean.
        scale: factor from the neighbours' lengths to those of own vectors.
        confidence: of the predictions.
    """

    ways: Sequence[Way]
    weights: NeighbourWeights
    neighbour_weight: float
    scale: float
    confidence: Confidence

    @property
    def source(self) -> Source:
        """What weighs most in the blend."""
        mapped = sum(way.weight for way in self.ways)
        return "mapped" if mapped >= self.neighbour_weight else "neighbours"

    @property
    def method(self) -> str:
        """The parts of the blend with their shares, as `ridge 0.60 + neighbours 0.40`."""
        shares = [(way.name, way.weight) for way in self.ways]
        shares.append(("neighbours", self.neighbour_weight))
        used = sorted((pair for pair in shares if pair[1] > 0), key=lambda pair: -pair[1])
        if len(used) == 1:
            return used[0][0]
        return " + ".join(f"{name} {share:.2f}" for name, share in used)

    def predict(
        self,
        embeddings: NDArray[np.float32],
        near: Near,
        vectors: NDArray[np.float32],
        coverage: NDArray[np.float32],
        modalities: NDArray[np.float32],
    ) -> Predictions:
        """Predict vectors.

        Args:
            embeddings: (Q, D) of the content, of unit length.
            near: the established nearest to each of them, at least one.
            vectors: (n, E) own vectors of the established.
            coverage: (Q,) share of the content that the encoder knows.
            modalities: (Q,) kinds of content shown.
        """
        voted = self.weights.mean(near, vectors)  # (Q, E)
        mapped = sum_of_ways(self.ways, embeddings, voted.shape[1])  # (Q, E)
        blend = mapped + np.float32(self.neighbour_weight) * voted
        direction = unit(blend.astype(np.float32))
        lengths = self.scale * lengths_of(self.weights, near, vectors)  # (Q,)
        strongest = max(self.ways, key=lambda way: way.weight)
        signs = Signs(
            agreement=cosines(strongest.map(embeddings), voted),
            nearness=near.scores[:, :_NEAREST].mean(1),
            coverage=coverage,
            modalities=modalities,
        )
        return Predictions(direction * lengths[:, None].astype(np.float32), signs)


def sum_of_ways(
    ways: Sequence[Way], embeddings: NDArray[np.float32], width: int
) -> NDArray[np.float32]:
    """Weighted sum (Q, E) of what linear ways make of embeddings (Q, D)."""
    total = np.zeros((len(embeddings), width), np.float32)
    for way in ways:
        if way.weight > 0:
            total += np.float32(way.weight) * way.map(embeddings)
    return total


def lengths_of(
    weights: NeighbourWeights, near: Near, vectors: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Weighted geometric means (Q,) of the lengths of the neighbours' own vectors.

    A prediction is a mean and thus shorter than what it predicts: whoever ranks by inner products
    would never show a newcomer.
    """
    shares = weights.shares(near.scores)  # (Q, K)
    places = near.places[:, : shares.shape[1]]
    logs = np.log(np.maximum(np.linalg.norm(vectors[places], axis=2), 1e-12))  # (Q, K)
    return np.exp((shares * logs).sum(1)).astype(np.float32)
