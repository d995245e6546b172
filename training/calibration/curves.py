"""Precision curves: thresholds with estimated precision and a lower confidence bound."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, t
from sklearn.isotonic import isotonic_regression

from model_export.contract.calibration import Curve, Knot
from training.calibration.answers import Answers

CONFIDENCE = 0.95
FEWEST_PAIRS = 30
_STEP = 1.15
_SHARES = 0.5, 0.2, 0.2, 0.1
"""Of the 5 %, of each size at which promises begin, from the smallest on: few pairs need most."""


def curve(answers: Answers, fewest: int, most: int | None) -> Curve | None:
    """Precision curve with knots at which the number of answers grows by 15 %.

    precision(s) = share of relevant pairs among those with a score >= s, by cross-fitted chances
    and made to fall, so a higher threshold is never less precise.

    Args:
        answers: labelled pairs.
        fewest: fewest modalities of their queries.
        most: most modalities of their queries; None for no bound.

    Returns:
        None if there are too few pairs.
    """
    count = len(answers.score)
    if count < FEWEST_PAIRS or not answers.right.any():
        return None
    sizes = _sizes(answers.score)
    ends = np.array(sizes) - 1
    counted = np.cumsum(answers.weight)[ends]
    shares = np.cumsum(answers.weight * cross_fitted(answers))[ends] / counted
    promised = promises(answers, sizes)
    precision = np.maximum(_falling(shares, np.array(sizes, np.float64)), promised)
    per_query = answers.per_query
    knots = [
        Knot(
            score=answers.threshold(size),
            precision=float(min(share, 1.0)),
            at_least=float(bound),
            answers=float(per_query[size - 1]),
            pairs=size,
        )
        for size, share, bound in zip(sizes, precision, promised, strict=True)
    ]
    return Curve(fewest=fewest, most=most, queries=len(answers.query_weight), knots=knots)


def cross_fitted(answers: Answers) -> NDArray[np.float64]:
    """Chance that each answer is relevant (P,), not yet falling.

    Isotonic regression of relevance on the score finds levels. On the pairs that it is fitted to,
    its highest ones are those that chance made high. So levels are found on one half of the
    clusters and get the shares of the other half; the mean over both ways is told.
    """
    cluster = np.unique(answers.cluster[answers.query], return_inverse=True)[1]
    half = cluster % 2 == 0
    right = answers.right.astype(np.float64)
    if half.all():
        return _falling(right, answers.weight)
    chance = np.zeros(len(right))
    for mine in (half, ~half):
        fitted = _falling(right[mine], answers.weight[mine])
        last = answers.score[mine][np.flatnonzero(np.diff(fitted))]  # of each level but the lowest
        level = np.searchsorted(-last, -answers.score)  # (P,), 0 is the highest
        own, others = (
            _shares(level[part], right[part], answers.weight[part], len(last) + 1)
            for part in (mine, ~mine)
        )
        chance += np.where(np.isnan(others), own, others)[level] / 2
    return chance


def _shares(
    level: NDArray[np.int64], right: NDArray[np.float64], weight: NDArray[np.float64], levels: int
) -> NDArray[np.float64]:
    """Share of right pairs of each level (levels,), NaN where a level has no pair."""
    total = np.bincount(level, weight, levels)
    hits = np.bincount(level, weight * right, levels)
    return np.divide(hits, total, out=np.full(levels, np.nan), where=total > 0)


def _falling(values: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    return isotonic_regression(values[::-1], sample_weight=weight[::-1])[::-1]


def promises(answers: Answers, sizes: Sequence[int]) -> NDArray[np.float64]:
    """Precision that is promised for the first pairs of each of these numbers, falling.

    Where the best of all bounds is promised, chance has chosen it, and the promise is broken far
    more often than in 5 % of draws. Here promises begin at four sizes that no answer decides. From
    each start on, a size gets the least bound up to it, as in fixed-sequence testing (Angelopoulos
    et al. 2021, "Learn then test"), so that a wish is broken in 5 % of draws at most, and so is the
    most that can be promised, if the starts share the 5 %. A size gets what the best
    start promises, or any larger size: precision falls.

    Returns:
        (sizes,), lower bounds.
    """
    given = np.array(sizes)
    most = max(len(answers.score) / 2, FEWEST_PAIRS)
    wanted = np.geomspace(FEWEST_PAIRS, most, len(_SHARES))  # a small set has 40 copies
    starts = np.minimum(np.searchsorted(given, wanted), len(given) - 1)
    promised = np.zeros(len(sizes))
    for start, share in zip(starts.tolist(), _SHARES, strict=True):
        confidence = 1 - share * (1 - CONFIDENCE)
        bounds = [lower_bound(answers, size, confidence) for size in sizes[start:]]
        promised[start:] = np.maximum(promised[start:], np.minimum.accumulate(bounds))
    return np.maximum.accumulate(promised[::-1])[::-1]


def lower_bound(answers: Answers, size: int, confidence: float = CONFIDENCE) -> float:
    """One-sided lower confidence bound of the precision of the first `size` pairs.

    Clopper & Pearson (1934) with the effective sample size of a clustered, weighted sample (Korn &
    Graubard 1998), since the answers of one query are dependent.
    """
    cluster, weight = answers.cluster[answers.query[:size]], answers.weight[:size]
    total = np.bincount(cluster, weight)  # (clusters,), 0 where one has no answer
    right = np.bincount(cluster, weight * answers.right[:size])
    clusters, share = int((total > 0).sum()), right.sum() / total.sum()
    if clusters < 2:
        return 0.0
    residual = right - share * total
    variance = clusters / (clusters - 1) * (residual**2).sum() / total.sum() ** 2
    effective = float(clusters)  # all right or all wrong: one piece of evidence per cluster
    if variance > 1e-12:
        quantile = t.ppf(confidence, size - 1) / t.ppf(confidence, clusters - 1)
        effective = min(share * (1 - share) / variance * quantile**2, float(size))
    if share == 0:
        return 0.0
    return float(beta.ppf(1 - confidence, effective * share, effective * (1 - share) + 1))


def _sizes(scores: NDArray[np.float32]) -> list[int]:
    """Numbers of pairs that grow by about `_STEP`, ending where the score changes."""
    size, sizes = FEWEST_PAIRS, list[int]()
    while size < len(scores):
        ending = int(np.searchsorted(-scores, -scores[size - 1], side="right"))
        if not sizes or ending > sizes[-1]:
            sizes.append(ending)
        size = max(size + 1, round(size * _STEP))
    if not sizes or sizes[-1] < len(scores):
        sizes.append(len(scores))
    return sizes
