"""Confidence: an expected cosine that holds on average, and is withheld where it would not."""

import numpy as np
import pytest

from service.engine.prediction.confidence import (
    LEAST_SAMPLES,
    Signs,
    calibrate,
    calibration_error,
    isotonic,
)


def signs(count: int, rng: np.random.Generator) -> Signs:
    agreement, nearness, coverage = rng.uniform(0.2, 1, (3, count)).astype(np.float32)
    return Signs(agreement, nearness, coverage, rng.integers(1, 6, count).astype(np.float32))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_confidence_is_what_is_reached_on_average(rng: np.random.Generator) -> None:
    mine = signs(2000, rng)
    truth = 0.2 + 0.5 * mine.agreement * mine.coverage
    reached = (truth + 0.1 * rng.standard_normal(2000)).astype(np.float32)
    found = calibrate(mine, reached)
    assert found.withheld_because is None
    assert found.error < 0.05
    assert found.calibration is not None
    others = signs(2000, rng)
    told = found.calibration(others)
    assert calibration_error(told, 0.2 + 0.5 * others.agreement * others.coverage) < 0.05
    assert np.corrcoef(told, others.agreement * others.coverage)[0, 1] > 0.9


def test_what_is_hardly_known_gets_little(rng: np.random.Generator) -> None:
    mine = signs(1000, rng)
    reached = (0.3 + 0.5 * mine.nearness).astype(np.float32)
    calibration = calibrate(mine, reached).calibration
    assert calibration is not None

    def one(agreement: float, nearness: float, coverage: float, modalities: float) -> float:
        values = (agreement, nearness, coverage, modalities)
        return float(calibration(Signs(*(np.array([v], np.float32) for v in values)))[0])

    usual = one(0.6, 0.6, 0.6, 3)
    assert usual == pytest.approx(0.6, abs=0.05)
    assert one(0.6, 0.6, 0.05, 3) < 0.3 * usual  # another script or domain
    assert one(0.6, 0.05, 0.6, 3) < 0.3 * usual
    assert one(0.6, 0.6, 0.6, 3) >= one(0.6, 0.6, 0.3, 2) >= one(0.3, 0.3, 0.3, 1)


def test_few_held_out_get_no_confidence(rng: np.random.Generator) -> None:
    found = calibrate(signs(20, rng), rng.uniform(0, 1, 20).astype(np.float32))
    assert found.calibration is None
    assert found.withheld_because is not None
    assert "20" in found.withheld_because


def linked(count: int, rng: np.random.Generator) -> tuple[Signs, np.ndarray]:
    """Signs and cosines that they tell as a calibration supposes, but for noise of 0.2."""
    given = rng.random(count).astype(np.float32)
    reached = np.clip(0.3 + 0.4 * given + 0.2 * rng.normal(size=count), -1, 1)
    one = np.ones(count, np.float32)
    return Signs(given, given, one, 3 * one), reached.astype(np.float32)


def test_noise_alone_withholds_nothing(rng: np.random.Generator) -> None:
    withheld = [calibrate(*linked(120, rng), seed).calibration is None for seed in range(40)]
    assert np.mean(withheld) <= 0.2


@pytest.mark.parametrize("count", [100, 400, 2000])
def test_the_calibration_error_is_that_of_the_means(count: int, rng: np.random.Generator) -> None:
    """Whatever the noise, and however few there are: 0.08 too much is found to be about that."""
    told = rng.uniform(0.2, 0.8, (40, count)).astype(np.float32)
    noise = 0.3 * rng.standard_normal((40, count))
    squares = {
        shift: np.mean(
            [
                calibration_error(t + np.float32(shift), (t + n).astype(np.float32)) ** 2
                for t, n in zip(told, noise, strict=True)
            ]
        )
        for shift in (0.0, 0.08)
    }
    assert squares[0.0] < 0.04**2
    assert np.sqrt(squares[0.08]) == pytest.approx(0.08, abs=0.02)


def test_a_calibration_that_does_not_hold_is_withheld(rng: np.random.Generator) -> None:
    """A few streamers that are like no others: who learned without them tells too much."""
    mine = signs(LEAST_SAMPLES, rng)
    reached = rng.choice([0.0, 1.0], LEAST_SAMPLES).astype(np.float32)
    withheld = [calibrate(mine, reached, seed) for seed in range(20)]
    found = max(withheld, key=lambda each: each.error)
    assert found.error > 0.05
    assert found.calibration is None
    assert found.withheld_because is not None
    assert f"the calibration error is {found.error:.3f}" in found.withheld_because


def test_isotonic_steps_rise(rng: np.random.Generator) -> None:
    scores = rng.uniform(0, 1, 500)
    knots, values = isotonic(scores, scores**2 + 0.2 * rng.standard_normal(500))
    assert (np.diff(knots) > 0).all()
    assert (np.diff(values) > 0).all()
    assert np.abs(np.interp([0.3, 0.6, 0.9], knots, values) - [0.09, 0.36, 0.81]).max() < 0.15
