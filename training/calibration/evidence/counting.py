"""Chances of the levels, the slope of the log-odds, and the threshold, from counts."""

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from model_export.contract.evidence import ABSENT, CHANNELS, ChannelParameters

SMOOTHING = 0.5
"""Added to the count of each level (Krichevsky and Trofimov 1981)."""
FEWEST_PAIRS = 50
"""Of the same and of strangers that both show a channel, from which it is counted."""
MOST_AGAINST = 0.5
"""Bits that a difference takes away at most before the chances of all levels are divided by their
sum, which is at most 1 + 2^-0.5: after that, 1.27 bits at most. Copies are of many kinds: who takes
pictures writes other words, and by independent chances each of these differences would count in
full."""
_SLACK = 1e-6
PRECISION = 0.95
"""Of the pairs from the threshold on, at least, in the sample that it is chosen on."""
PRECISION_OF_MOST = 0.9
"""What suffices where a threshold is lowered to what a contact or several media are worth."""


def chances(
    levels: NDArray[np.int8],
    same: NDArray[np.bool_],
    mass: NDArray[np.float64],
    default: ChannelParameters,
    *,
    is_media: bool = False,
    unseen: Collection[int] = (),
) -> ChannelParameters:
    """Chances of the levels of one channel; those of `default` where too few pairs show it.

    Neighbouring levels are pooled until a stronger agreement never weighs less.

    Args:
        levels: (P,).
        same: (P,).
        mass: what each pair counts (P,).
        default: packaged chances.
        is_media: no chance of strangers is taken to be below the packaged one. Those of the data
            set share next to no picture, since its boilerplate is known; that of later ones is not.
        unseen: levels of copies that nobody simulates: neither of their chances is taken to be
            below the packaged one.
    """
    shown = levels != ABSENT

    def counted(among: NDArray[np.bool_]) -> NDArray[np.float64]:
        counts = np.bincount(levels[among], mass[among], len(default.m))
        return counts.astype(np.float64) + SMOOTHING

    m, u = _of_packaged(default)
    if (shown & same).sum() >= FEWEST_PAIRS:
        m = counted(shown & same)
    if (shown & ~same).sum() >= FEWEST_PAIRS:
        u = counted(shown & ~same)
    u /= u.sum()
    if is_media:
        u = np.maximum(u, default.u)
        u /= u.sum()
    m /= m.sum()
    for level in unseen:
        m, u = _at_least(m, level, default.m[level]), _at_least(u, level, default.u[level])
    m, u = _falling(m, u)
    m = np.maximum(m, u * 2.0**-MOST_AGAINST)
    m /= m.sum()
    return ChannelParameters(m=[float(x) for x in m], u=[float(x) for x in u])


def _of_packaged(default: ChannelParameters) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.array(default.m), np.array(default.u)


def _at_least(shares: NDArray[np.float64], level: int, least: float) -> NDArray[np.float64]:
    """Shares of which that of a level is no smaller than this, the others in proportion."""
    if shares[level] >= least:
        return shares
    others = np.where(np.arange(len(shares)) == level, 0.0, shares)
    return np.where(others > 0, others * (1 - least) / others.sum(), least)


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


def shares(same: NDArray[np.bool_], mass: NDArray[np.float64], prior: float) -> NDArray[np.float64]:
    """What pairs of these masses (P,) count, so that the same ones are a share `prior` of all."""
    of_same, others = float(mass[same].sum()), float(mass[~same].sum())
    scaled = np.where(same, prior / max(of_same, 1e-12), (1 - prior) / max(others, 1e-12))
    return scaled * mass * len(same)


def slope_of(
    weights: NDArray[np.float64], same: NDArray[np.bool_], mass: NDArray[np.float64], prior: float
) -> float:
    """Bits of log-odds per bit of match weight, by logistic regression; between 0.2 and 1.

    The intercept is the prior's log-odds, as where the slope is used: with another one, the slope
    is that of other odds.
    """
    if same.all() or not same.any():
        return 1.0
    begin = np.log2(prior / (1 - prior))
    against = np.where(same, -1.0, 1.0)

    def loss(slope: float) -> float:
        return float(mass @ np.logaddexp2(0, against * (begin + slope * weights)))

    best: Any = minimize_scalar(loss, bounds=(0.2, 1.0), method="bounded")
    return float(best.x)


def threshold_of(
    weights: NDArray[np.float64],
    same: NDArray[np.bool_],
    mass: NDArray[np.float64],
    least: float = -np.inf,
    most: float = np.inf,
) -> tuple[float, float, float]:
    """Match weight with the best F1 among those with a precision of `PRECISION` or more.

    The precision is that of a sample whose masses were chosen: most others are random pairs, which
    hardly anything joins, and what the simulated look-alikes count decides it.

    Where none has it, that with the best F1 of all. A bound on the precision alone would be decided
    by the two or three look-alikes of the sample that are most like copies. `mass` is what each
    pair counts (P,). No threshold is below `least`, and none
    above `most`, which counts more, if it has a precision of `PRECISION_OF_MOST`.

    Returns:
        The threshold, and its precision and recall.
    """
    order = np.argsort(-weights, kind="stable")
    mass = mass[order]
    right = np.cumsum(mass * same[order])
    precision = right / np.cumsum(mass)
    recall = right / max(float(right[-1]), 1e-12)
    last = np.append(weights[order][1:] != weights[order][:-1], True)  # of several equal weights
    last &= np.isfinite(weights[order]) & (weights[order] >= least)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    good = last & (precision >= PRECISION) & (recall > 0)
    place = int(np.argmax(np.where(good if good.any() else last, f1, -1)))
    below = weights[order[place + 1]] if place + 1 < len(order) else -np.inf
    value = float(weights[order[place]] + max(below, weights[order[place]] - 1)) / 2
    value = max(value, least)
    if value > most - _SLACK:
        lowered = max(int((weights[order] >= most - _SLACK).sum()) - 1, 0)
        if precision[lowered] >= PRECISION_OF_MOST:
            value, place = most - _SLACK, lowered
    return value, float(precision[place]), float(recall[place])


def columns() -> list[tuple[int, str, int]]:
    """Column, name and number of levels of each channel."""
    return [(i, channel.name, len(channel.levels)) for i, channel in enumerate(CHANNELS)]
