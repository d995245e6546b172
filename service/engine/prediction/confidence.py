"""How near a predicted vector will be to the learned one, as learned on held-out streamers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_ERROR = 0.05
"""Calibration error from which on no confidence is told."""
LEAST_SAMPLES = 100
"""Held-out streamers that a calibration needs."""
_FOLDS = 5
_BINS = 5
_LEAST_IN_STEP = 20
_PENALTY = 1e-2


@dataclass(frozen=True, eq=False)
class Signs:
    """What a confidence is told from, for Q predictions.

    Attributes:
        agreement: float32 (Q,), cosine of two ways of predicting; 0 where there is one.
        nearness: float32 (Q,), mean cosine of the content with the ten nearest established.
        coverage: float32 (Q,), share of what is shown that the encoder knows.
        modalities: float32 (Q,), how many kinds of content are shown.
    """

    agreement: NDArray[np.float32]
    nearness: NDArray[np.float32]
    coverage: NDArray[np.float32]
    modalities: NDArray[np.float32]

    def columns(self) -> NDArray[np.float64]:
        """Features (Q, F); those of many modalities differ less than those of few."""
        modalities = np.log2(1.0 + self.modalities)
        parts = (self.agreement, self.nearness, self.coverage, modalities)
        return np.stack(parts, 1).astype(np.float64)

    def take(self, rows: NDArray[np.int64]) -> "Signs":
        """Those of some predictions."""
        parts = (self.agreement, self.nearness, self.coverage, self.modalities)
        return Signs(*(part[rows] for part in parts))


@dataclass(frozen=True, eq=False)
class Calibration:
    """From signs to an expected cosine: a monotone score, then steps of isotonic regression.

    Attributes:
        mean: (F,) of the features.
        slopes: (F,) non-negative.
        knots: ascending scores (S,) of the steps.
        values: expected cosines (S,), ascending; between knots they are interpolated.
        least: (F,) features that 95 of 100 calibrating streamers reach.
    """

    mean: NDArray[np.float64]
    slopes: NDArray[np.float64]
    knots: NDArray[np.float64]
    values: NDArray[np.float64]
    least: NDArray[np.float64]

    def __call__(self, signs: Signs) -> NDArray[np.float32]:
        """Expected cosines (Q,), in 0..1.

        What is known worse than by 95 of 100 of the calibrating streamers gets less, in
        proportion: there is nothing to calibrate by.
        """
        columns = signs.columns()
        expected = np.interp((columns - self.mean) @ self.slopes, self.knots, self.values)
        told = self.least > 1e-6  # (F,)
        trust = (columns[:, told] / self.least[told]).clip(0, 1).min(1, initial=1.0)  # (Q,)
        return (expected * trust).clip(0, 1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Confidence:
    """A calibration, or why there is none.

    Attributes:
        calibration: None where none is trusted.
        error: calibration error on held-out streamers that it was not learned from, see
            `calibration_error`; NaN where it was not measured.
        withheld_because: why there is none; None where there is one.
    """

    calibration: Calibration | None
    error: float
    withheld_because: str | None


def calibrate(signs: Signs, reached: NDArray[np.float32], seed: int = 0) -> Confidence:
    """Learn the confidence from held-out streamers.

    The error is measured by cross-fitting: each fifth by the calibration of the others.

    Args:
        signs: of Q predictions.
        reached: (Q,) their cosines with the learned vectors.
        seed: of the fifths.
    """
    if len(reached) < LEAST_SAMPLES:
        why = f"{len(reached)} held-out streamers are too few to calibrate, {LEAST_SAMPLES} needed"
        return Confidence(None, float("nan"), why)
    fold = np.random.default_rng(seed).permutation(len(reached)) % _FOLDS
    told = np.zeros(len(reached), np.float32)
    for number in range(_FOLDS):
        mine, others = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        told[mine] = _learn(signs.take(others), reached[others])(signs.take(mine))
    error = calibration_error(told, reached)
    if error > MOST_ERROR:
        why = f"the calibration error is {error:.3f}, more than {MOST_ERROR}"
        return Confidence(None, error, why)
    return Confidence(_learn(signs, reached), error, None)


def calibration_error(told: NDArray[np.float32], reached: NDArray[np.float32]) -> float:
    """Root mean square over bins of mean(reached) - mean(told), less what sampling adds to it.

    Bins are of equally many (Q / 5). By chance alone the squared difference of a bin of n is
    s^2 / n on average, with s^2 the variance of reached - told within it: of 100 streamers even the
    right calibration would seem to err by more than 0.05. That part is subtracted (Kumar et al.
    2019, "Verified uncertainty calibration").
    """
    order = np.argsort(told, kind="stable")
    parts = [part for part in np.array_split(order, _BINS) if len(part) > 1]
    if not parts:
        return 0.0
    off = [reached[part].astype(np.float64) - told[part] for part in parts]
    squares = [float(each.mean() ** 2 - each.var(ddof=1) / len(each)) for each in off]
    mean = float(np.average(squares, weights=[len(each) for each in off]))
    return float(np.sqrt(max(mean, 0.0)))


def _learn(signs: Signs, reached: NDArray[np.float32]) -> Calibration:
    columns = signs.columns()
    mean = columns.mean(0)
    slopes = _slopes(columns - mean, reached - reached.mean())
    knots, values = isotonic((columns - mean) @ slopes, reached.astype(np.float64))
    return Calibration(mean, slopes, knots, values, np.quantile(columns, 0.05, axis=0))


def _slopes(columns: NDArray[np.float64], target: NDArray[np.float32]) -> NDArray[np.float64]:
    """Non-negative ridge slopes: features with a negative one are left out, the worst first."""
    spread: NDArray[np.float64] = columns.std(0)
    kept: NDArray[np.bool_] = spread > 1e-9
    slopes = np.zeros(columns.shape[1])
    while kept.any():
        scaled = columns[:, kept] / spread[kept]
        gram = scaled.T @ scaled + _PENALTY * len(scaled) * np.eye(scaled.shape[1])
        right: NDArray[np.float64] = scaled.T @ target
        found = np.linalg.solve(gram, right).astype(np.float64)
        if found.min() >= 0:
            slopes[kept] = found / spread[kept]
            break
        kept[np.flatnonzero(kept)[int(found.argmin())]] = False
    return slopes


def isotonic(
    scores: NDArray[np.float64], targets: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Isotonic regression by pool adjacent violators: knots and their values, both ascending.

    Targets are first averaged over runs of neighbours, so that no step hangs on a few.

    Args:
        scores: (Q,).
        targets: (Q,), by score.
    """
    order = np.argsort(scores, kind="stable")
    parts = np.array_split(order, max(len(order) // _LEAST_IN_STEP, 1))
    blocks: list[tuple[float, float, int]] = []  # mean score, mean target, count
    for part in parts:
        blocks.append((float(scores[part].mean()), float(targets[part].mean()), len(part)))
        while len(blocks) > 1 and blocks[-2][1] >= blocks[-1][1]:
            (s1, t1, n1), (s2, t2, n2) = blocks[-2:]
            total = n1 + n2
            merged = ((s1 * n1 + s2 * n2) / total, (t1 * n1 + t2 * n2) / total, total)
            blocks[-2:] = [merged]
    return np.array([b[0] for b in blocks]), np.array([b[1] for b in blocks])
