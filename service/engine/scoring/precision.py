"""Precision in place of scores: what the bundle's calibration promises."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from model_export.contract.calibration import Curve, ScoreCalibration
from service.errors import FieldError, PrecisionNotPromised
from service.index.query import EQUAL

_FIELD = "min_precision"


class Shown(NamedTuple):
    """How much a query shows.

    Attributes:
        modalities_used: number of modalities; None where that is not known.
        coverage: share of it that the model knows; None where that is not known.
    """

    modalities_used: int | None = None
    coverage: float | None = None


@dataclass(frozen=True)
class Threshold:
    """The score that stands for a wanted precision.

    Attributes:
        min_precision: what was wanted.
        min_score: from which score on answers are kept; at most `EQUAL`, which copies reach.
        at_least: the precision that this promises; a 95 % bound for the encoder before its refit.
        measured_on: whose answers it was measured on, as `2 to 3 modalities`.
        source: what counted as right.
    """

    min_precision: float
    min_score: float
    at_least: float
    measured_on: str
    source: str


class Precision:
    """What one kind of score promises, for queries that show more or less."""

    def __init__(self, calibration: ScoreCalibration | None, instead: str) -> None:
        """`calibration` of the bundle; `instead` is the field that takes a score itself."""
        self._calibration = calibration
        self._instead = instead

    @property
    def least_coverage(self) -> float:
        """Coverage below which nothing is promised for a query."""
        return 0.0 if self._calibration is None else self._calibration.least_coverage

    def curves(self, queries: Sequence[Shown] = (Shown(),)) -> list[Curve]:
        """The curves of queries that show so much; [] where nothing is promised for one of them."""
        if self._calibration is None:
            return []
        found = [self._calibration.for_query(*shown) for shown in queries]
        if not all(found):
            return []
        return list({id(curve): curve for each in found for curve in each}.values())

    def withheld_because(self, coverage: float | None) -> str | None:
        """Why nothing is promised for a query of this coverage; None where something may be."""
        if coverage is None or coverage >= self.least_coverage:
            return None
        return (
            f"coverage: the model knows {coverage:g} of what the query shows, and promises no "
            f"precision below {self.least_coverage:g}"
        )

    def threshold(self, min_precision: float, curves: Sequence[Curve]) -> Threshold:
        """The lowest score that promises a precision, for the most demanding of some queries.

        Raises:
            PrecisionNotPromised: the model is not calibrated, or can't promise as much.
        """
        if self._calibration is None or not curves:
            raise _refused(
                f"can't be promised, the model's scores are not calibrated ({self._why()}); use "
                f"{self._instead}, or train on data with audiences, labels or known duplicates and "
                "export again"
            )
        knots = [(curve.threshold(min_precision), curve) for curve in curves]
        lacking = [curve for knot, curve in knots if knot is None]
        if lacking:
            curve = min(lacking, key=lambda curve: curve.strictest.at_least)
            best = curve.strictest
            raise _refused(
                f"{min_precision:g} can't be promised: ask for at most {_floor(best.at_least)}, or "
                f"use {self._instead}; that is promised for {curve.describe()} from score "
                f"{best.score:.3f} on ({self._calibration.source})"
            )
        knot, curve = max(((k, c) for k, c in knots if k is not None), key=lambda kc: kc[0].score)
        return Threshold(
            min_precision,
            min(knot.score, EQUAL),
            knot.at_least,
            curve.describe(),
            self._calibration.source,
        )

    def _why(self) -> str:
        if self._calibration is None:
            return "the bundle was exported before scores were calibrated"
        return self._calibration.source


def precision_from(score: float, curves: Sequence[Curve]) -> float | None:
    """Estimated precision of all answers that score at least this, by the most careful curve.

    None where nothing was measured.
    """
    if len(curves) == 1:
        return curves[0].precision_from(score)
    found = [curve.precision_from(score) for curve in curves]
    known = [precision for precision in found if precision is not None]
    return min(known) if known and len(known) == len(found) else None


def cosine_shown(score: float) -> float:
    """A score as it is told: rounding takes the cosine of equal vectors to 1.0000001."""
    return min(1.0, max(-1.0, score))


def _floor(share: float) -> str:
    """Three digits, never more than there is: what is read here can be asked for."""
    return f"{int(share * 1000) / 1000:g}"


def _refused(detail: str) -> PrecisionNotPromised:
    return PrecisionNotPromised(f"/{_FIELD}: {detail}", [FieldError(f"/{_FIELD}", detail)])
