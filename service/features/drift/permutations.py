"""Permutation tests of two samples: statistics of the labels as they are, and shuffled.

Shufflings and cosines are made a block at a time: memory grows with the size of the samples alone.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = 4999
BLOCK_BYTES = 32 << 20
"""Of 64-bit numbers, one for each item and each labelling of a block."""
BLOCK_ROWS = 512
"""Items whose neighbours are looked for at a time."""
_RIDGE = 1.0
_NEIGHBOURS = 10
_TIED = 1e-5
"""Cosines that differ by less are equal."""

Labels = NDArray[np.bool_]
Floats = NDArray[np.float64]
Rows = NDArray[np.floating[Any]]


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


class Labellings:
    """The labels as they are, and `PERMUTATIONS` shufflings of them, one bit for each item."""

    def __init__(self, labels: Labels, rng: np.random.Generator) -> None:
        """Of the labels (N,), shuffled by `rng`."""
        self.count = PERMUTATIONS + 1
        self._items = len(labels)
        self._block = max(1, BLOCK_BYTES // (8 * self._items))
        self._bits = np.empty((self.count, -(-self._items // 8)), np.uint8)
        self._bits[0] = np.packbits(labels)
        for start in range(1, self.count, self._block):
            some = self._bits[start : start + self._block]
            rows = np.tile(labels, (len(some), 1))  # (b, N)
            some[:] = np.packbits(rng.permuted(rows, axis=1), axis=1)

    def blocks(self) -> Generator[tuple[slice, Labels], None, None]:
        """All labellings in their order, the labels as they are first: which, and (b, N)."""
        for start in range(0, self.count, self._block):
            some = self._bits[start : start + self._block]
            rows = np.unpackbits(some, axis=1, count=self._items)
            yield slice(start, start + len(some)), rows.view(np.bool_)


def mean_difference(values: Floats, labels: Labels, rng: np.random.Generator) -> Tested:
    """Mean of the late ones less that of the others, in both directions.

    Args:
        values: (N,).
        labels: (N,), both kinds among them.
        rng: of the shufflings.
    """
    late = int(labels.sum())
    labellings = Labellings(labels, rng)
    sums = np.empty(labellings.count)
    for which, rows in labellings.blocks():
        sums[which] = rows @ values
    differences = sums / late - (values.sum() - sums) / (len(values) - late)
    extreme = np.abs(differences) >= abs(differences[0]) - 1e-12
    value = float(differences[0])
    return Tested(value, float(extreme.mean()), values * np.sign(value or 1.0))


def classifier_auc(rows: Rows, labels: Labels, rng: np.random.Generator) -> Tested:
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
    labellings = Labellings(labels, rng)
    scores, areas = np.zeros(count), np.zeros(labellings.count)
    for train, test in (halves, halves[::-1]):
        x, held = _scaled(rows, train, test)  # (n, F), (m, F)
        gram = x.T @ x + np.float32(_RIDGE * len(x)) * np.eye(x.shape[1], dtype=np.float32)
        for which, many in labellings.blocks():
            given = many[:, train].astype(np.float32)  # (b, n)
            given -= given.mean(1, keepdims=True)
            weights = cast(NDArray[np.float32], np.linalg.solve(gram, (given @ x).T))  # (F, b)
            predicted = weights.T @ held.T  # (b, m)
            areas[which] += _areas(predicted, many[:, test]) / 2
            if which.start == 0:
                scores[test] = predicted[0]
    return Tested(float(areas[0]), float((areas >= areas[0] - 1e-12).mean()), scores)


def neighbour_mixing(rows: Rows, labels: Labels, rng: np.random.Generator) -> Tested:
    """Share of nearest neighbours that are of the same kind (Schilling 1986).

    Args:
        rows: (N, D), unit vectors.
        labels: (N,), both kinds among them.
        rng: of the shufflings, and of the choice among equal neighbours.
    """
    near = nearest(rows.astype(np.float32, copy=False), rng)  # (N, K)
    labellings = Labellings(labels, rng)
    shares = np.empty(labellings.count)
    for which, many in labellings.blocks():
        shares[which] = [(each[near] == each[:, None]).mean() for each in many]
    scores = labels[near].mean(1)
    return Tested(float(shares[0]), float((shares >= shares[0] - 1e-12).mean()), scores)


def nearest(rows: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.int64]:
    """Those of the unit vectors (N, D) that are nearest to each (N, K), in any order.

    Of equal ones, such as those of a template, each row has its own at random: by their place they
    would all be of one window, since the windows come one after the other.
    """
    found = np.empty((len(rows), _NEIGHBOURS), np.int64)
    order = rng.permutation(len(rows))
    rows = rows[order]
    for start in range(0, len(rows), BLOCK_ROWS):
        cosines = rows[start : start + BLOCK_ROWS] @ rows.T  # (b, N)
        cosines += np.float32(_TIED) * rng.random(cosines.shape, np.float32)
        places = np.arange(len(cosines))
        cosines[places, start + places] = -np.inf
        best = np.argpartition(cosines, -_NEIGHBOURS, axis=1)[:, -_NEIGHBOURS:]
        found[order[start : start + BLOCK_ROWS]] = order[best]
    return found


def expected_mixing(labels: Labels) -> float:
    """The share of `neighbour_mixing` where both kinds are alike."""
    count, late = len(labels), int(labels.sum())
    return (late * (late - 1) + (count - late) * (count - late - 1)) / (count * (count - 1))


def _scaled(
    rows: Rows, train: NDArray[np.int64], test: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two halves of the rows, in units of the spread of the first."""
    parts = [train[i : i + BLOCK_ROWS] for i in range(0, len(train), BLOCK_ROWS)]
    center = sum(rows[part].sum(0, dtype=np.float64) for part in parts) / len(train)
    squares = sum(((rows[part] - center) ** 2).sum(0) for part in parts) / len(train)
    scale = np.sqrt(squares) + 1e-9
    scaled = np.empty((len(rows), rows.shape[1]), np.float32)
    both = np.concatenate([train, test])
    for start in range(0, len(both), BLOCK_ROWS):
        scaled[start : start + BLOCK_ROWS] = (
            rows[both[start : start + BLOCK_ROWS]] - center
        ) / scale
    return scaled[: len(train)], scaled[len(train) :]


def _areas(predicted: NDArray[np.float32], labels: Labels) -> Floats:
    """Area under the curve for each row of predictions (C, m) and of labels (C, m).

    Tied predictions are of equal rows; their ranks are as good as random.
    """
    order = np.argsort(predicted, axis=1, kind="stable")
    late = labels.sum(1)
    others = labels.shape[1] - late
    sums = np.take_along_axis(labels, order, 1) @ np.arange(1.0, labels.shape[1] + 1)  # of ranks
    with np.errstate(invalid="ignore", divide="ignore"):
        areas = (sums - late * (late + 1) / 2) / (late * others)
    return np.where((late > 0) & (others > 0), areas, 0.5)
