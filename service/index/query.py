"""Questions for an index, as data: how rows are scored, and which may be in the answer."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from service.index.filters import EVERYONE, Filter

Strategy = Literal["average", "best_score", "sum"]
_VANISHING = 1e-3
"""A mean of unit vectors this short has no direction: they point in opposite ones."""
_NOTHING = 1e-6
"""What is left of unit vectors that are equal, but for rounding."""
EQUAL = 0.9999
"""The cosine of copies, at least: vectors were rounded when they were encoded, which takes up to
1e-4 off. A higher limit would miss some of them, and stands for this one."""


@dataclass(slots=True, eq=False)
class ScoringSpec:
    """How the cosines of a row with some seeds become its score.

    `average`: cosine with the mean of the wanted seeds, minus that with the mean of the unwanted
    ones, halved. `best_score`: highest cosine with a wanted seed; if an unwanted one is nearer,
    minus that cosine. `sum`: weighted sum of all cosines over the sum of absolute weights.

    Attributes:
        seeds: float32 (S, D), of unit length.
        weights: one for each seed, above zero if it is wanted and below zero if it is unwanted; at
            least one is wanted. `best_score` reads the signs alone.
        strategy: see above.
    """

    seeds: NDArray[np.float32]
    weights: Sequence[float] = (1.0,)
    strategy: Strategy = "average"

    @classmethod
    def nearest(cls, vector: NDArray[np.float32]) -> "ScoringSpec":
        """The cosine with one vector (D,) of unit length."""
        return cls(vector[None, :])

    @property
    def is_cosine(self) -> bool:
        """Whether the score is the cosine with one vector, which is the only probe."""
        if len(self.seeds) == 1:
            return True
        return self.strategy == "average" and min(self.weights) > 0

    @property
    def has_direction(self) -> bool:
        """Whether scores differ at all: what is unwanted may be just what is wanted."""
        return self.is_cosine or float(np.abs(self.probes()).max()) > _NOTHING

    def probes(self) -> NDArray[np.float32]:
        """Vectors (P, D) whose inner products with a row are all that its score depends on.

        `average` and `sum` are linear, so one probe has it all; its length is 1 for a cosine.
        """
        if len(self.seeds) == 1 or self.strategy == "best_score":
            return self.seeds
        weights = np.array(self.weights, np.float64)
        weights /= np.abs(weights).max()  # the smallest ones would vanish, and so would their sum
        if self.strategy == "sum":
            return _linear(weights / np.abs(weights).sum(), self.seeds)
        wanted = _mean(self.seeds[weights > 0], weights[weights > 0])
        if (weights > 0).all():
            return wanted[None, :].astype(np.float32)
        unwanted = _mean(self.seeds[weights < 0], -weights[weights < 0])
        return ((wanted - unwanted) / 2)[None, :].astype(np.float32)

    @property
    def highest(self) -> float:
        """The score of a row in the direction that is asked for; 1 of cosines.

        It is less where seeds that differ are added or taken away from each other, and a score over
        it is the cosine with that direction.
        """
        probes = self.probes()
        length = float(np.linalg.norm(probes[0])) if len(probes) == 1 else 1.0
        return length if length > _NOTHING else 1.0

    def combine(self, products: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores (N,) from the inner products (P, N) of the probes with N rows."""
        if len(products) == 1:
            return products[0]
        is_wanted = np.array(self.weights) > 0  # (S,), and P is S
        best = products[is_wanted].max(axis=0)  # (N,)
        if is_wanted.all():
            return best
        worst = products[~is_wanted].max(axis=0)
        return cast(NDArray[np.float32], np.where(worst > best, -np.abs(worst), best))


def _linear(coefficients: NDArray[np.float64], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return (coefficients @ vectors)[None, :].astype(np.float32)


def _mean(vectors: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted mean (D,) of vectors, scaled to unit length; of opposite ones, the heaviest."""
    if len(vectors) == 1:
        return vectors[0].astype(np.float64)
    mean = weights / weights.sum() @ vectors
    norm = float(np.linalg.norm(mean))
    return vectors[int(weights.argmax())].astype(np.float64) if norm < _VANISHING else mean / norm


@dataclass(slots=True, eq=False)
class Query:
    """A question for the best rows.

    Attributes:
        scoring: what they are compared with, and how.
        k: how many are wanted.
        exclude: ids of streamers that are left out.
        min_score: lowest score of a hit; None for any.
        filter: which streamers may be in the answer.
        established_only: whether only established streamers may.
        exact: whether every row must be looked at.
    """

    scoring: ScoringSpec
    k: int = 10
    exclude: Collection[str] = ()
    min_score: float | None = None
    filter: Filter = EVERYONE
    established_only: bool = False
    exact: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether an approximate index may answer it: the nearest of one vector, among all."""
        return not (
            self.exact
            or self.established_only
            or self.min_score is not None
            or self.filter
            or not self.scoring.is_cosine
        )
