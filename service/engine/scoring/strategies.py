"""How the cosines with many seeds, wanted and unwanted, become one score."""

from collections.abc import Sequence
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from service.index.base import Scorer

Strategy = Literal["average", "best_score", "sum"]


def combined(
    strategy: Strategy,
    seeds: NDArray[np.float32],
    positive: Sequence[float],
    negative: Sequence[float],
) -> tuple[NDArray[np.float32], Scorer | None]:
    """What is searched for, and how its cosines are combined; None where there is one alone.

    Args:
        strategy: see the API.
        seeds: unit vectors (P + N, D), the wanted ones first.
        positive: weights of the wanted ones (P,).
        negative: weights of the unwanted ones (N,).
    """
    if strategy == "average":
        return _average(seeds, positive, negative)
    if strategy == "best_score":
        return seeds, _best_score(len(positive))
    return seeds, _sum(positive, negative)


def _average(
    seeds: NDArray[np.float32], positive: Sequence[float], negative: Sequence[float]
) -> tuple[NDArray[np.float32], Scorer | None]:
    """Cosine with the mean of the wanted seeds, minus that with the mean of the unwanted ones.

    The two means are scored apart and never added up to one vector, which could vanish.
    """
    wanted = _mean(seeds[: len(positive)], positive)
    if not negative:
        return wanted[None, :], None
    unwanted = _mean(seeds[len(positive) :], negative)
    return np.stack([wanted, unwanted]), lambda cosines: (cosines[0] - cosines[1]) / 2


def _mean(vectors: NDArray[np.float32], given: Sequence[float]) -> NDArray[np.float32]:
    """Weighted mean (D,) of unit vectors, of unit length again; of opposite ones, the heaviest."""
    if len(vectors) == 1:
        return vectors[0]
    weights = np.array(given, np.float32)
    mean = weights @ vectors / weights.sum()
    norm = float(np.linalg.norm(mean))
    return vectors[int(weights.argmax())] if norm < 1e-3 else (mean / norm).astype(np.float32)


def _best_score(positives: int) -> Scorer:
    """The best cosine with a wanted seed; if an unwanted one is nearer, minus that cosine."""

    def combine(cosines: NDArray[np.float32]) -> NDArray[np.float32]:
        best = cosines[:positives].max(axis=0)  # (N,)
        if positives == len(cosines):
            return best
        worst = cosines[positives:].max(axis=0)
        return cast(NDArray[np.float32], np.where(worst > best, -worst, best))

    return combine


def _sum(positive: Sequence[float], negative: Sequence[float]) -> Scorer:
    """Weighted sum of the cosines, unwanted ones subtracted, over the sum of all weights."""
    weights = np.array([*positive, *(-w for w in negative)], np.float32)
    weights /= np.abs(weights).sum()
    return lambda cosines: weights @ cosines
