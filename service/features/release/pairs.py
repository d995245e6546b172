"""Scores of pairs, counted as they come: a corpus has more pairs than memory."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model_export.contract.calibration import Knot

BINS = 1 << 22
"""Of cosines from -1 to 1: as wide as 32-bit numbers near 1 lie apart."""


class PairScores:
    """Scores of relevant pairs and of others, in bins.

    Attributes:
        right: how many pairs are relevant.
        wrong: how many are not.
    """

    def __init__(self, knots: Sequence[Knot] = ()) -> None:
        """Of no pair yet.

        Args:
            knots: of a calibration, by descending score.
        """
        self.right = self.wrong = 0
        self._bins = np.zeros((2, BINS + 1), np.int64)
        self._knots = knots
        self._reached = np.zeros((2, len(knots)), np.int64)

    def add(self, scores: NDArray[np.float32], right: NDArray[np.bool_]) -> None:
        """Count pairs.

        Args:
            scores: cosines of any shape.
            right: whether the pairs are relevant, of the same shape.
        """
        for row, of_kind in enumerate((scores[right], scores[~right])):
            places = np.rint((of_kind.astype(np.float64) + 1) * (BINS / 2))
            places = np.clip(places, 0, BINS).astype(np.int64)
            self._bins[row] += np.bincount(places, minlength=BINS + 1)
            for number, knot in enumerate(self._knots):
                self._reached[row, number] += np.count_nonzero(of_kind >= knot.score)
        hits = int(np.count_nonzero(right))
        self.right += hits
        self.wrong += right.size - hits

    def area_under_curve(self) -> float:
        """Probability that a relevant pair is above another one, ties half (Mann-Whitney)."""
        right, wrong = self._bins
        below = np.cumsum(wrong, dtype=np.float64)
        below -= wrong / 2
        below *= right
        return float(below.sum() / self.right / self.wrong)

    def calibration_error(self, fewest: int) -> tuple[float, int]:
        """Mean difference of the precision promised at a knot and that found from it on.

        The mean is over the knots that `fewest` pairs or more reach, each with the weight of the
        pairs between it and the next higher one.

        Returns:
            The difference, and how many pairs reach the lowest knot.
        """
        total = weight = 0.0
        before = reached = 0
        for knot, hits, misses in zip(self._knots, *self._reached.tolist(), strict=True):
            reached = hits + misses
            if reached < fewest:
                continue
            total += (reached - before) * abs(hits / reached - knot.precision)
            weight += reached - before
            before = reached
        return (total / weight if weight else 0.0), reached
