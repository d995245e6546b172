"""Own vectors that were learned from little are shrunk towards the prediction."""

import numpy as np
import pytest

from service.engine.prediction.linear import cosines
from service.engine.prediction.shrinkage import Shrinkage, learn_shrinkage
from tests.service.engine.prediction.worlds import unit


def test_the_curve_is_learned_and_brings_vectors_nearer_to_the_truth() -> None:
    rng = np.random.default_rng(0)
    count, width = 3000, 16
    predicted = unit(rng.standard_normal((count, width)))
    true = unit(predicted + 0.15 * rng.standard_normal((count, width)))
    interactions = rng.integers(1, 100, count).astype(np.float32)
    noise = 0.6 * rng.standard_normal((count, width)) / np.sqrt(interactions)[:, None]
    own = unit(true + noise)
    curve = learn_shrinkage(own, predicted, interactions)
    # Lengths of 16 numbers: noise 16 * 0.6², and 16 * 0.15² that content does not show.
    assert curve.noise == pytest.approx(5.8, rel=0.4)
    assert curve.rest == pytest.approx(0.36, rel=0.3)
    few = interactions < 5
    blended = np.stack(
        [
            curve.blend(mine, foretold, float(seen))
            for mine, foretold, seen in zip(
                own[few], predicted[few], interactions[few], strict=True
            )
        ]
    )
    assert cosines(blended, true[few]).mean() > cosines(own[few], true[few]).mean() + 0.05
    assert cosines(blended, true[few]).mean() > cosines(predicted[few], true[few]).mean()


def test_without_noise_own_vectors_stay() -> None:
    rng = np.random.default_rng(0)
    own = unit(rng.standard_normal((500, 8)))
    curve = learn_shrinkage(own, np.roll(own, 1, 0), rng.integers(1, 100, 500).astype(np.float32))
    assert curve.share(20) > 0.9
    np.testing.assert_allclose(Shrinkage().blend(own[0], own[1], 3), own[0], atol=1e-6)
    assert Shrinkage().share(1) == 1
    assert Shrinkage(5).share(0) == 0


@pytest.mark.parametrize("interactions", [np.zeros(100), np.full(100, 7.0)])
def test_interactions_that_tell_nothing_shrink_nothing(interactions: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    own = unit(rng.standard_normal((100, 8)))
    found = learn_shrinkage(own, np.roll(own, 1, 0), interactions.astype(np.float32))
    assert found == Shrinkage()


@pytest.mark.parametrize(("noise", "rest"), [(5.8, 0.36), (2.0, 1.5), (20.0, 0.8)])
@pytest.mark.parametrize("interactions", [1, 4, 10, 60])
@pytest.mark.parametrize("spread", [1.0, 2.0])
def test_the_expected_cosine_of_a_blend_is_the_one_that_it_reaches(
    noise: float, rest: float, interactions: float, spread: float
) -> None:
    """Of predictions that miss what they miss on average, and of some that miss more."""
    rng = np.random.default_rng(1)
    count, width = 400, 256
    true = unit(rng.standard_normal((count, width)))

    def with_noise(variance: float) -> np.ndarray:
        return unit(true + np.sqrt(variance / width) * rng.standard_normal((count, width)))

    own, predicted = with_noise(noise / interactions), with_noise(spread * rest)
    curve = Shrinkage(noise, rest)
    told = 1 / np.sqrt(1 + spread * rest)
    blended = np.stack(
        [curve.blend(*both, interactions) for both in zip(own, predicted, strict=True)]
    )
    expected = curve.expected_cosine(interactions, told)
    assert expected == pytest.approx(cosines(blended, true).mean(), abs=0.03)
    if spread == 1:
        variance = 1 / (interactions / noise + 1 / rest)
        assert expected == pytest.approx(1 / np.sqrt(1 + variance))


def test_the_expected_cosine_is_that_of_the_prediction_without_interactions_and_then_grows() -> (
    None
):
    curve = Shrinkage(5.0, 0.5)
    assert curve.expected_cosine(0, 0.8) == 0.8
    assert curve.expected_cosine(1e-9, 0.8) == pytest.approx(0.8)
    assert curve.expected_cosine(1e9, 0.8) == pytest.approx(1)
    assert curve.expected_cosine(1e9, 0.0) == pytest.approx(1)
    assert Shrinkage().expected_cosine(1, 0.8) is None
