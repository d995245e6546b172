"""A seed's vector counts by its direction alone."""

from typing import Any, cast

import numpy as np
import pytest

from service.errors import InvalidRequest
from service.features.similar.seeds import Seeds

SEEDS = Seeds(cast(Any, None), 3)  # vectors ask nothing of what is stored


@pytest.mark.parametrize("scale", [1e-29, 1e-3, 1.0, 1e154, 1e308])
def test_the_length_does_not_matter(scale: float):
    found = SEEDS.unit([1.2 * scale, -1.5 * scale, 1.4 * scale], "/positive/0")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.array([1.2, -1.5, 1.4]) / np.sqrt(5.65), rtol=1e-6)


@pytest.mark.parametrize("vector", [[0.0, 0.0, 0.0], [1e-31, 0.0, -1e-31], [1.0, 2.0]])
def test_what_has_no_direction_or_another_width_is_refused(vector: list[float]):
    with pytest.raises(InvalidRequest, match="/positive/0/vector"):
        SEEDS.unit(vector, "/positive/0")
