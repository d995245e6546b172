"""Procrustes: a layout that is turned, mirrored, scaled and moved comes back."""

import numpy as np
import pytest

from service.engine.layouts.registering import registered


@pytest.mark.parametrize("mirror", [1, -1])
def test_what_is_turned_comes_back(mirror: int) -> None:
    rng = np.random.default_rng(1)
    before = rng.normal(size=(200, 2)).astype(np.float32)
    angle = 2.0
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turn[1] *= mirror
    new = (3 * before @ turn + np.array([50, -7])).astype(np.float32)
    shared = np.arange(0, 200, 2)
    found = registered(new, shared, before[shared])
    assert found is not None
    places, how = found
    np.testing.assert_allclose(places, before, atol=1e-3)  # also those that were in one alone
    assert how.shared == 100
    assert how.residual < 1e-3


def test_what_moved_by_itself_is_told() -> None:
    rng = np.random.default_rng(2)
    before = rng.normal(size=(300, 2)).astype(np.float32)
    new = (before + 0.2 * rng.normal(size=before.shape)).astype(np.float32)
    found = registered(new, np.arange(300), before)
    assert found is not None
    assert 0.1 < found[1].residual < 0.3


def test_too_few_shared_ones_turn_nothing() -> None:
    places = np.zeros((5, 2), np.float32)
    assert registered(places, np.array([0, 1]), places[:2]) is None
    assert registered(places, np.arange(5), places) is None  # all on one point
