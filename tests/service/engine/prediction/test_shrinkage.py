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
