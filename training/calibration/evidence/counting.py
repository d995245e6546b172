"""Chances of the levels, the slope of the log-odds, and the threshold, from counts."""

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from model_export.contract.evidence import ABSENT, CHANNELS, ChannelParameters

SMOOTHING = 0.5
"""Added to the count of each level (Krichevsky and Trofimov 1981)."""
FEWEST_PAIRS = 50
"""Of the same and of strangers that both show a channel, from which it is counted."""
PRECISION = 0.99
"""Of the pairs from the threshold on, in the sample that it is chosen on."""


def chances(
    levels: NDArray[np.int8], same: NDArray[np.bool_], weights: NDArray[np.float64], count: int
) -> ChannelParameters | None:
    """Chances of the levels of one channel; None where too few pairs show it.

    Neighbouring levels are pooled until a stronger agreement never weighs less.

    Args:
        levels: (P,).
        same: (P,).
        weights: how much each pair counts (P,).
        count: levels of the channel.
    """
    shown = levels != ABSENT
    if min(int((shown & same).sum()), int((shown & ~same).sum())) < FEWEST_PAIRS:
        return None

    def counted(among: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.bincount(levels[among], weights[among], count) + SMOOTHING

    m, u = counted(shown & same), counted(shown & ~same)
    m, u = _falling(m / m.sum(), u / u.sum())
    return ChannelParameters(m=[float(x) for x in m], u=[float(x) for x in u])


def _falling(
    m: NDArray[np.float64], u: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pool adjacent levels whose m / u rises, each keeping its share of the pool's u."""
    blocks: list[tuple[float, float, list[int]]] = []
    for level in range(len(m)):
        block = (float(m[level]), float(u[level]), [level])
        while blocks and blocks[-1][0] / blocks[-1][1] < block[0] / block[1]:
            upper = blocks.pop()
            block = (upper[0] + block[0], upper[1] + block[1], upper[2] + block[2])
        blocks.append(block)
    pooled = m.copy()
    for of_m, of_u, members in blocks:
        pooled[members] = of_m * u[members] / of_u
    return pooled / pooled.sum(), u / u.sum()


def shares(same: NDArray[np.bool_], prior: float) -> NDArray[np.float64]:
    """How much each pair counts (P,), so that the same ones are a share `prior` of all."""
    of_same, others = max(int(same.sum()), 1), max(int((~same).sum()), 1)
    return np.where(same, prior / of_same, (1 - prior) / others) * len(same)


def slope_of(weights: NDArray[np.float64], same: NDArray[np.bool_], prior: float) -> float:
    """Bits of log-odds per bit of match weight, by logistic regression; between 0.2 and 1."""
    if same.all() or not same.any():
        return 1.0
    model = LogisticRegression(C=10.0).fit(
        weights[:, None] / 10, same, sample_weight=shares(same, prior)
    )
    slope = float(model.coef_[0, 0]) / 10 / np.log(2)
    return min(max(slope, 0.2), 1.0)


def threshold_of(
    weights: NDArray[np.float64], same: NDArray[np.bool_], prior: float
) -> tuple[float, float, float]:
    """Lowest match weight from which the precision is `PRECISION`, with precision and recall.

    Where none is, the weight with the best F1.
    """
    order = np.argsort(-weights, kind="stable")
    mass = shares(same, prior)[order]
    right = np.cumsum(mass * same[order])
    precision = right / np.cumsum(mass)
    recall = right / max(float(right[-1]), 1e-12)
    last = np.append(np.diff(weights[order]) != 0, True)  # of several equal weights
    good = np.flatnonzero(last & (precision >= PRECISION) & (recall > 0))
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    place = int(good[-1]) if len(good) else int(np.argmax(np.where(last, f1, -1)))
    below = weights[order[place + 1]] if place + 1 < len(order) else weights[order[place]] - 1
    value = float(weights[order[place]] + below) / 2
    return value, float(precision[place]), float(recall[place])


def style_of(bits: NDArray[np.float64], same: NDArray[np.bool_]) -> float:
    """Bits that one of fifty strangers reaches, and 2 at least."""
    others = bits[~same]
    return max(2.0, float(np.quantile(others, 0.98))) if len(others) else 2.0


def columns() -> list[tuple[int, str, int]]:
    """Column, name and number of levels of each channel."""
    return [(i, channel.name, len(channel.levels)) for i, channel in enumerate(CHANNELS)]
