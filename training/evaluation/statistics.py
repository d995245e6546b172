"""How sure a figure is, and how sure it is that one method beats another.

All methods of a data set answer the same queries, so that their differences are paired: one draw of
the bootstrap takes the same queries for all of them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

DRAWS = 10_000
"""So many that the smallest p-value stays below .05 after a correction for hundreds of tests."""

_BLOCK = 64


@dataclass(frozen=True)
class Difference:
    """One method against another.

    Attributes:
        mean: of the one minus that of the other.
        low, high: 95 % interval of it.
        p: two-sided, of no difference.
    """

    mean: float
    low: float
    high: float
    p: float


def bootstrap_means(
    values: NDArray[np.float64], draws: int = DRAWS, seed: int = 0
) -> NDArray[np.float64]:
    """Means over queries drawn with replacement (Efron & Tibshirani 1993, chapter 6).

    Args:
        values: (Q, M) of M methods on the same Q queries.
        draws: how many.
        seed: of the draws.

    Returns:
        (draws, M).
    """
    queries = len(values)
    rng = np.random.default_rng(seed)
    means = np.empty((draws, values.shape[1]))
    for start in range(0, draws, _BLOCK):
        size = min(_BLOCK, draws - start)
        drawn = rng.integers(queries, size=(size, queries)) + queries * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * queries).reshape(size, queries)
        means[start : start + size] = times @ values / queries
    return means


def percentiles(drawn: NDArray[np.float64]) -> tuple[float, float]:
    """95 % interval of what was drawn, leaving out what is no number."""
    finite = drawn[np.isfinite(drawn)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.percentile(finite, [2.5, 97.5])
    return float(low), float(high)


def difference(seen: float, drawn: NDArray[np.float64]) -> Difference:
    """Judge the difference of two methods by the same draws of queries.

    The p-value is the share of draws that are as far from the difference seen as that is from zero
    (Efron & Tibshirani 1993, chapter 16; one is added to both counts, so it is never zero).

    Args:
        seen: mean of one method minus that of the other.
        drawn: (draws,) one column of `bootstrap_means` minus the other.
    """
    tolerance = 1e-12  # differences that are equal on paper
    extreme = int((np.abs(drawn - seen) >= abs(seen) - tolerance).sum())
    return Difference(seen, *percentiles(drawn), (1 + extreme) / (1 + len(drawn)))


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """P-values corrected for their number, in the order given (Holm 1979).

    Rejecting where the corrected value is below .05 keeps the probability of any false rejection
    below .05.
    """
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    corrected = np.empty_like(values)
    factors = len(values) - np.arange(len(values))
    corrected[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1)
    return corrected


def standard_error(values: ArrayLike) -> float:
    """Of the mean of values such as those of several seeds; NaN for fewer than two."""
    given = np.asarray(values, np.float64)
    if len(given) < 2:
        return float("nan")
    return float(given.std(ddof=1) / np.sqrt(len(given)))


def interval(values: NDArray[np.float64], draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the mean over queries; of differences, it is a paired one."""
    return percentiles(bootstrap_means(values[:, None], draws, seed)[:, 0])
