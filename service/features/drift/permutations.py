"""Permutation tests of two samples: statistics of the labels as they are, and shuffled."""

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = 4999
_RIDGE = 1.0
_NEIGHBOURS = 10

Labels = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Tested:
    """A statistic and its place among those of shuffled labels.

    Attributes:
        value: of the labels as they are.
        p_value: share of labellings, this one among them, whose statistic is as extreme.
        scores: (N,), what each item adds: the higher, the more it is like the late ones.
    """

    value: float
    p_value: float
    scores: Floats


def shuffled(labels: Labels, rng: np.random.Generator) -> Labels:
    """The labels (N,) in the first row, and `PERMUTATIONS` shufflings of them below (P + 1, N)."""
    rows = np.tile(labels, (PERMUTATIONS + 1, 1))
    rows[1:] = rng.permuted(rows[1:], axis=1)
    return rows


def mean_difference(values: Floats, labels: Labels, rng: np.random.Generator) -> Tested:
    """Mean of the late ones less that of the others, in both directions.

    Args:
        values: (N,).
        labels: (N,), both kinds among them.
        rng: of the shufflings.
    """
    late = int(labels.sum())
    rows = shuffled(labels, rng).astype(np.float64)
    sums = rows @ values  # (P + 1,)
    differences = sums / late - (values.sum() - sums) / (len(values) - late)
    extreme = np.abs(differences) >= abs(differences[0]) - 1e-12
    value = float(differences[0])
    return Tested(value, float(extreme.mean()), values * np.sign(value or 1.0))


def classifier_auc(rows: Floats, labels: Labels, rng: np.random.Generator) -> Tested:
    """Area under the curve of a classifier that tells the late ones from the others.

    Ridge regression on the labels, fitted on one half and measured on the other, both ways. Its
    predictions are linear in the labels, so that shuffled ones cost a matrix product.

    Args:
        rows: (N, F).
        labels: (N,), both kinds among them.
        rng: of halves and shufflings.
    """
    count = len(rows)
    order = rng.permutation(count)
    halves = order[: count // 2], order[count // 2 :]
    many = shuffled(labels, rng)  # (P + 1, N)
    scores, areas = np.zeros(count), np.zeros(len(many))
    for train, test in (halves, halves[::-1]):
        center, scale = rows[train].mean(0), rows[train].std(0) + 1e-9
        x, held = (rows[train] - center) / scale, (rows[test] - center) / scale
        gram = x.T @ x + _RIDGE * len(x) * np.eye(x.shape[1])
        weights = cast(Floats, np.linalg.solve(gram, x.T))  # (F, n)
        given = many[:, train].astype(np.float64)
        given -= given.mean(1, keepdims=True)
        predicted = held @ (weights @ given.T)  # (m, P + 1)
        areas += _areas(predicted, many[:, test].T) / 2
        scores[test] = predicted[:, 0]
    return Tested(float(areas[0]), float((areas >= areas[0] - 1e-12).mean()), scores)


def neighbour_mixing(rows: Floats, labels: Labels, rng: np.random.Generator) -> Tested:
    """Share of nearest neighbours that are of the same kind (Schilling 1986).

    Args:
        rows: (N, D), unit vectors.
        labels: (N,), both kinds among them.
        rng: of the shufflings.
    """
    cosines = rows @ rows.T
    np.fill_diagonal(cosines, -np.inf)
    near = np.argpartition(-cosines, _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS]  # (N, K)
    shares = np.array([(each[near] == each[:, None]).mean() for each in shuffled(labels, rng)])
    scores = labels[near].mean(1)
    return Tested(float(shares[0]), float((shares >= shares[0] - 1e-12).mean()), scores)


def expected_mixing(labels: Labels) -> float:
    """The share of `neighbour_mixing` where both kinds are alike."""
    count, late = len(labels), int(labels.sum())
    return (late * (late - 1) + (count - late) * (count - late - 1)) / (count * (count - 1))


def _areas(predicted: Floats, labels: Labels) -> Floats:
    """Area under the curve for each column of predictions (m, C) and of labels (m, C); ties half.

    Tied predictions are of equal rows; their ranks are as good as random.
    """
    order = np.argsort(predicted, axis=0, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(1, len(order) + 1)[:, None], axis=0)
    late = labels.sum(0)
    others = len(labels) - late
    sums = (ranks * labels).sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        areas = (sums - late * (late + 1) / 2) / (late * others)
    return np.where((late > 0) & (others > 0), areas, 0.5)
