"""NDCG of answers by ratings, with what was not judged told apart.

Unjudged hits count as not relevant in `ndcg`, which is then a lower bound as far as they are good;
`condensed` leaves them out (Sakai 2007, "Alternatives to Bpref"), which favours nobody's unjudged
hits. Where the two differ, coverage is what is missing. Intervals are of the mean over questions:
percentiles of bootstrap samples of questions, the same ones for both of two that are compared.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_RATING = 3
_SAMPLES = 5000
_BLOCK = 500
_SHARES = (0.025, 0.975)


class QuestionScore(NamedTuple):
    """What ratings say of one answer.

    Attributes:
        ndcg: unjudged hits count as not relevant; None where nobody was found relevant.
        condensed: of the judged hits alone; likewise.
        coverage: share of the hits that are judged; 1 for an empty answer.
    """

    ndcg: float | None
    condensed: float | None
    coverage: float


class Interval(NamedTuple):
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float


def score(hits: Sequence[str], ratings: Mapping[str, float], k: int) -> QuestionScore:
    """NDCG@k of an answer: gain 2^rating - 1, discount log2(rank + 1) (Burges et al. 2005).

    Args:
        hits: ids, best first.
        ratings: of streamers, from 0 to `MOST_RATING`; the ideal answer is made of them.
        k: hits that count.
    """
    hits = hits[:k]
    judged = [ratings[name] for name in hits if name in ratings]
    coverage = len(judged) / len(hits) if hits else 1.0
    ideal = _gain(sorted(ratings.values(), reverse=True)[:k])
    if ideal == 0:
        return QuestionScore(None, None, coverage)
    found = _gain([ratings.get(name, 0.0) for name in hits])
    return QuestionScore(found / ideal, _gain(judged) / ideal, coverage)


def interval(values: Sequence[float], seed: int = 0) -> Interval:
    """Mean of questions' values (Q,) and its interval; of one question it is all that may be."""
    found = np.asarray(values, np.float64)
    if not len(found):
        return Interval(math.nan, math.nan, math.nan)
    means = _bootstrap(found, np.random.default_rng(seed))
    low, high = np.quantile(means, _SHARES).tolist()
    return Interval(float(found.mean()), low, high)


def _gain(ratings: Sequence[float]) -> float:
    return sum((2**r - 1) / math.log2(place + 2) for place, r in enumerate(ratings))


def _bootstrap(values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Means of samples with replacement (S,)."""
    count = len(values)
    parts = [
        values[rng.integers(0, count, (_BLOCK, count))].mean(1)  # (B, Q) -> (B,)
        for _ in range(_SAMPLES // _BLOCK)
    ]
    return np.concatenate(parts)
