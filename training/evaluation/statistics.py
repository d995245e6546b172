"""Bootstrap intervals and paired significance tests over splits, queries and seeds.

All methods answer the same queries of the same splits, so differences are paired: one bootstrap
draw uses the same splits and queries for all methods. Seeds of two methods have nothing in common,
so each method's are drawn for itself.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

DRAWS = 10_000
"""Enough draws for p-values below 0.05 after a correction for hundreds of tests."""

_BLOCK = 64


@dataclass(frozen=True)
class Difference:
    """Difference of two methods.

    Attributes:
        mean: difference of the means.
        low, high: 95 % interval of the difference.
        p: two-sided p-value of no difference.
    """

    mean: float
    low: float
    high: float
    p: float


def bootstrap_means(
    values: NDArray[np.float64], draws: int = DRAWS, seed: int = 0
) -> NDArray[np.float64]:
    """Bootstrap means over queries (Efron & Tibshirani 1993, chapter 6).

    Args:
        values: (Q, M) of M methods on the same Q queries, NaN where a method was not asked.
        draws: number of draws.
        seed: of the draws.

    Returns:
        (draws, M), means over the drawn queries that a method was asked; NaN without any.
    """
    queries = len(values)
    rng = np.random.default_rng(seed)
    asked = ~np.isnan(values)
    known = np.where(asked, values, 0)
    means = np.full((draws, values.shape[1]), np.nan)
    for start in range(0, draws, _BLOCK):
        size = min(_BLOCK, draws - start)
        drawn = rng.integers(queries, size=(size, queries)) + queries * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * queries).reshape(size, queries)
        count = times @ asked.astype(np.float64)
        np.divide(times @ known, count, out=means[start : start + size], where=count > 0)
    return means


def redrawn_splits(drawn: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Mean over as many splits, drawn anew with replacement for each bootstrap draw (draws, M).

    Splits are drawn above the queries and seeds within them, a hierarchical bootstrap (Davison &
    Hinkley 1997, section 3.8). A streamer may ask in several splits, so it is drawn for all of them
    at once (Owen 2007, the pigeonhole bootstrap): equal splits say no more than one of them.

    The spread of few splits drawn so is too small, by the factor sqrt((S - 1) / S), and splits
    learn from streamers in common, so they vary together in a way that no estimate from them can
    hold without bias (Bengio & Grandvalet 2004). What varies by split and query at once has up to
    three times its variance (Owen 2007), which errs to the wide side.

    Args:
        drawn: means of M methods by S splits (draws, S, M), as of `bootstrap_means`.
        rng: random numbers of the splits; none are used for a single split.
    """
    draws, splits, _ = drawn.shape
    if splits == 1:
        return drawn[:, 0]
    chosen = rng.integers(splits, size=(draws, splits))
    return np.take_along_axis(drawn, chosen[:, :, None], 1).mean(1)


def redrawn_seeds(drawn: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Mean over as many seeds, drawn anew with replacement for each bootstrap draw (draws,).

    The spread of few seeds drawn so is too small: by the factor sqrt((S - 1) / S).

    Args:
        drawn: means of one method by S seeds (draws, S), as of `bootstrap_means`.
        rng: random numbers of the seeds; none are used for a single seed.
    """
    draws, seeds = drawn.shape
    if seeds == 1:
        return drawn[:, 0]
    chosen = rng.integers(seeds, size=(draws, seeds))
    return np.take_along_axis(drawn, chosen, 1).mean(1)


def percentiles(drawn: NDArray[np.float64]) -> tuple[float, float]:
    """95 % percentile interval of draws, ignoring non-finite ones."""
    finite = drawn[np.isfinite(drawn)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.percentile(finite, [2.5, 97.5])
    return float(low), float(high)


def difference(seen: float, drawn: NDArray[np.float64]) -> Difference:
    """Test the difference of two methods on paired bootstrap draws.

    The p-value is the share of draws at least as far from the observed difference as that is from
    zero (Efron & Tibshirani 1993, chapter 16), with one added to both counts.

    Args:
        seen: observed difference of the means.
        drawn: (draws,), difference of two columns of `bootstrap_means`; NaN is left out.
    """
    drawn = drawn[np.isfinite(drawn)]
    tolerance = 1e-12  # differences that are equal on paper
    extreme = int((np.abs(drawn - seen) >= abs(seen) - tolerance).sum())
    return Difference(seen, *percentiles(drawn), (1 + extreme) / (1 + len(drawn)))


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Holm-corrected p-values in the given order (Holm 1979).

    Rejecting below 0.05 keeps the probability of any false rejection below 0.05.
    """
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    corrected = np.empty_like(values)
    factors = len(values) - np.arange(len(values))
    corrected[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1)
    return corrected


def standard_error(values: ArrayLike) -> float:
    """Standard error of the mean; NaN for fewer than two values."""
    given = np.asarray(values, np.float64)
    if len(given) < 2:
        return float("nan")
    return float(given.std(ddof=1) / np.sqrt(len(given)))
