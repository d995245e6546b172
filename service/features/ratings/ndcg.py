"""NDCG of answers by ratings, with what was not judged told apart.

Unjudged hits count as not relevant in `ndcg`, which is then a lower bound as far as they are good;
`condensed` leaves them out (Sakai 2007, "Alternatives to Bpref"), which favours nobody's unjudged
hits. Where the two differ, coverage is what is missing. Intervals are of the mean over questions by
Student's t: percentiles of bootstrap samples are too narrow where questions are few.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

MOST_RATING = 3
_Z = 1.959964
_T = (12.706205, 4.302653, 3.182446)
"""The 97.5 % quantiles of 1, 2 and 3 degrees of freedom."""


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


def interval(values: Sequence[float], least: float = 0.0) -> Interval:
    """Mean of questions' values (Q,), at most 1, and its interval; of one question it is all.

    Args:
        values: of the questions.
        least: that a value can be.
    """
    found = np.asarray(values, np.float64)
    if not len(found):
        return Interval(math.nan, math.nan, math.nan)
    mean = float(found.mean())
    if len(found) == 1:
        return Interval(mean, least, 1.0)
    half = quantile(len(found) - 1) * float(found.std(ddof=1)) / math.sqrt(len(found))
    return Interval(mean, max(mean - half, least), min(mean + half, 1.0))


def quantile(degrees: int) -> float:
    """The 97.5 % quantile of Student's t, to three digits or more.

    Args:
        degrees: of freedom, 1 or more; above 3 by the expansion of Abramowitz and Stegun, 26.7.5.
    """
    if degrees <= len(_T):
        return _T[degrees - 1]
    z, n = _Z, float(degrees)
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * n**4)
    )


def _gain(ratings: Sequence[float]) -> float:
    return sum((2**r - 1) / math.log2(place + 2) for place, r in enumerate(ratings))
