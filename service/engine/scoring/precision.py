"""Precision in place of scores: what the bundle's calibration promises."""

from collections.abc import Sequence
from dataclasses import dataclass

from model_export.contract.calibration import Curve, ScoreCalibration
from service.errors import FieldError, PrecisionNotPromised

_FIELD = "min_precision"


@dataclass(frozen=True)
class Threshold:
    """The score that stands for a wanted precision.

    Attributes:
        min_precision: what was wanted.
        min_score: from which score on answers are kept.
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

    def curves(self, modalities: Sequence[int | None] = (None,)) -> list[Curve]:
        """The curves of queries that show so many modalities (None = unknown); [] without any."""
        if self._calibration is None:
            return []
        if len(modalities) == 1:
            curve = self._calibration.curve(modalities[0])
            return [] if curve is None else [curve]
        found = [self._calibration.curve(shown) for shown in modalities]
        return list({id(curve): curve for curve in found if curve is not None}.values())

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
        for knot, curve in knots:
            if knot is None:
                best = curve.strictest
                raise _refused(
                    f"{min_precision:g} can't be promised: ask for at most "
                    f"{_floor(best.at_least)}, or use {self._instead}; that is promised for "
                    f"{curve.describe()} from score {best.score:.3f} on "
                    f"({self._calibration.source})"
                )
        knot, curve = max(((k, c) for k, c in knots if k is not None), key=lambda kc: kc[0].score)
        return Threshold(
            min_precision, knot.score, knot.at_least, curve.describe(), self._calibration.source
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


def _floor(share: float) -> str:
    """Three digits, never more than there is: what is read here can be asked for."""
    return f"{int(share * 1000) / 1000:g}"


def _refused(detail: str) -> PrecisionNotPromised:
    return PrecisionNotPromised(f"/{_FIELD}: {detail}", [FieldError(f"/{_FIELD}", detail)])
