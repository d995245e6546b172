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


def curve(answers: Answers, fewest: int, most: int | None) -> Curve | None:
    """Precision curve with knots at which the number of answers grows by 15 %.

    precision(s) = share of relevant pairs among those with a score >= s, after isotonic regression
    of relevance on the score, so a higher threshold is never less precise.

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
    fitted = isotonic_regression(
        answers.right.astype(np.float64)[::-1], sample_weight=answers.weight[::-1]
    )[::-1]  # (P,), falling
    precision = np.cumsum(answers.weight * fitted) / np.cumsum(answers.weight)  # (P,)
    precision = np.minimum.accumulate(precision)  # no rise by rounding errors
    sizes = _sizes(answers.score)
    promised = _falling([lower_bound(answers, size) for size in sizes])
    per_query = answers.per_query
    knots = [
        Knot(
            score=answers.threshold(size),
            precision=float(precision[size - 1]),
            at_least=float(min(bound, 1.0)),
            answers=float(per_query[size - 1]),
            pairs=size,
        )
        for size, bound in zip(sizes, promised, strict=True)
    ]
    return Curve(fewest=fewest, most=most, queries=len(answers.query_weight), knots=knots)


def lower_bound(answers: Answers, size: int) -> float:
    """One-sided 95 % lower bound of the precision of the first `size` pairs.

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
        quantile = t.ppf(CONFIDENCE, size - 1) / t.ppf(CONFIDENCE, clusters - 1)
        effective = min(share * (1 - share) / variance * quantile**2, float(size))
    if share == 0:
        return 0.0
    return float(beta.ppf(1 - CONFIDENCE, effective * share, effective * (1 - share) + 1))


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


def _falling(bounds: Sequence[float]) -> NDArray[np.float64]:
    """Running minimum of the bounds from the best one downwards.

    A threshold reaches a bound only if every one from the best bound on does, as in fixed-sequence
    testing. That keeps the probability of any false bound at that of a single one if the start is
    fixed in advance (Angelopoulos et al. 2021, "Learn then test"); here the bounds choose it, so
    each is a 95 % bound by itself and all together are not. Above the best bound there are too few
    pairs, but precision is monotone.
    """
    promised = np.asarray(bounds, np.float64)
    best = int(np.argmax(promised))
    promised[:best] = promised[best]
    return np.minimum.accumulate(promised)
