"""Thresholds and precisions are looked up in curves that can only fall."""

from typing import Any

import pytest
from pydantic import ValidationError

from model_export.contract.calibration import Curve, ScoreCalibration
from tests.support.bundles import curve

CURVE = curve(1, None, (0.9, 0.95, 0.9), (0.8, 0.85, 0.9), (0.5, 0.75, 0.6))


def test_a_threshold_is_the_lowest_that_promises_enough() -> None:
    for wanted, score in ((0.9, 0.8), (0.61, 0.8), (0.6, 0.5), (0.1, 0.5)):
        knot = CURVE.threshold(wanted)
        assert knot is not None
        assert knot.score == score
    assert CURVE.threshold(0.9001) is None
    assert CURVE.strictest.score == 0.8


def test_precision_is_linear_between_knots_and_unknown_below_them() -> None:
    expected = {0.95: 0.95, 0.9: 0.95, 0.85: 0.9, 0.8: 0.85, 0.65: 0.8, 0.5: 0.75}
    for score, precision in expected.items():
        assert CURVE.precision_from(score) == pytest.approx(precision)
    assert CURVE.precision_from(0.4999) is None


def test_queries_that_show_little_have_a_curve_of_their_own() -> None:
    calibration = ScoreCalibration(
        source="",
        base_rate=None,
        curves=[
            curve(1, None, (0.1, 0.5, 0.4)),
            curve(1, 1, (0.2, 0.5, 0.4)),
            curve(4, None, (0.3, 0.5, 0.4)),
        ],
    )
    found = {n: calibration.for_query(n, None) for n in (None, 1, 2, 4, 9)}
    assert {n: [c.knots[0].score for c in curves] for n, curves in found.items()} == {
        None: [0.1],
        1: [0.2],
        2: [0.1],
        4: [0.3],
        9: [0.3],
    }
    assert ScoreCalibration(source="none", base_rate=None, curves=[]).for_query(1, 0.5) == []


def covered(least: float | None, score: float) -> Curve:
    return curve(1, None, (score, 0.5, 0.4)).model_copy(update={"least_coverage": least})


def test_a_query_goes_by_its_coverage_too_and_below_the_lowest_by_nothing() -> None:
    everyone = curve(1, None, (0.1, 0.5, 0.4))
    calibration = ScoreCalibration(
        source="",
        base_rate=None,
        curves=[everyone],
        by_coverage=[covered(0.3, 0.7), covered(0.6, 0.4)],
    )
    assert calibration.least_coverage == 0.3
    found = {c: calibration.for_query(1, c) for c in (None, 0.0, 0.299, 0.3, 0.599, 0.6, 1.0)}
    assert {c: [one.knots[0].score for one in curves] for c, curves in found.items()} == {
        None: [0.1],
        0.0: [],
        0.299: [],
        0.3: [0.1, 0.7],
        0.599: [0.1, 0.7],
        0.6: [0.1, 0.4],
        1.0: [0.1, 0.4],
    }
    assert calibration.by_coverage[0].describe() == "coverage of 0.3 and more"
    old = ScoreCalibration(source="", base_rate=None, curves=[everyone])
    assert old.for_query(1, 0.0) == [everyone]


@pytest.mark.parametrize("least", [[0.5, 0.3], [0.3, 0.3], [None], [0.3, None]])
def test_curves_by_coverage_ascend(least: list[float | None]) -> None:
    with pytest.raises(ValidationError, match="ascending order of least_coverage"):
        ScoreCalibration(
            source="",
            base_rate=None,
            curves=[curve(1, None, (0.1, 0.5, 0.4))],
            by_coverage=[covered(each, 0.5) for each in least],
        )


@pytest.mark.parametrize(
    ("knots", "message"),
    [
        ([], "at least 1 item"),
        ([(0.5, 0.9, 0.8), (0.5, 0.8, 0.7)], "in descending order of score"),
        ([(0.5, 0.8, 0.7), (0.4, 0.9, 0.6)], "can't be more precise"),
        ([(0.5, 0.8, 0.7), (0.4, 0.8, 0.75)], "can't be more precise"),
        ([(0.5, 1.1, 0.7)], "less than or equal to 1"),
        ([(float("nan"), 0.9, 0.7)], "score"),
    ],
)
def test_a_curve_that_makes_no_sense_is_refused(knots: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        curve(1, None, *knots)


def test_there_is_no_part_without_the_whole() -> None:
    part = Curve.model_validate(curve(1, 1, (0.5, 0.5, 0.5)).model_dump())
    with pytest.raises(ValidationError, match="the one for all queries"):
        ScoreCalibration(source="", base_rate=None, curves=[part])
