"""Neighbours of neighbours against the formula written out, one pair at a time."""

import math

import numpy as np
import pytest
import scipy.sparse as sp

from training.mining.positives import SharedAudience

K = 12


@pytest.fixture(scope="module")
def audience() -> np.ndarray:
    dense = (np.random.default_rng(0).random((50, 60)) < 0.07).astype(np.float32)
    dense[7] = 0
    return dense


def cosines_of(dense: np.ndarray) -> np.ndarray:
    shared = dense @ dense.T
    np.fill_diagonal(shared, 0)
    size = np.sqrt(dense.sum(1).clip(1))
    return np.where(shared >= 2, shared, 0) / size[:, None] / size


def expected_nearness(cosines: np.ndarray) -> np.ndarray:
    """(D^-1/2 S D^-1/2) G of all pairs, where nobody has more than K neighbours."""
    rows = len(cosines)
    strength = cosines.sum(1)
    nearness = np.zeros((rows, rows))
    for i in range(rows):
        for j in range(rows):
            for between in range(rows):
                if cosines[i, between] and cosines[between, j]:
                    scale = math.sqrt(strength[i] * strength[between])
                    nearness[i, j] += cosines[i, between] / scale * cosines[between, j]
    return np.where((cosines > 0) | np.eye(rows, dtype=bool), 0, nearness)


def test_empty_places_are_filled_by_the_formula(audience: np.ndarray):
    cosines = cosines_of(audience)
    neighbours = (cosines > 0).sum(1)
    assert neighbours.max() <= K, "the reference knows no limit"
    assert ((neighbours > 0) & (neighbours < K)).sum() > 20
    behaviour = SharedAudience(sp.csr_matrix(audience), 1)
    plain, plain_weights = behaviour.candidates(K)
    near, weights, few = behaviour.completed(K, None, 0.3)
    nearness = expected_nearness(cosines)
    np.testing.assert_array_equal(few, neighbours < K)
    for i, there in enumerate(neighbours):
        np.testing.assert_array_equal(near[i, :there], plain[i, :there])
        np.testing.assert_array_equal(weights[i, :there], plain_weights[i, :there])
        best = sorted(nearness[i], reverse=True)
        if not there:
            assert not weights[i].any()
        else:
            expected = 0.3 * np.array(best[: K - there]) / max(best[0], 1e-9)
            np.testing.assert_allclose(weights[i, there:], expected, atol=1e-5)
        for j, weight in zip(near[i, there:], weights[i, there:], strict=True):
            assert (weight > 0) == (there > 0 and nearness[i, j] > 0)


def test_who_may_not_be_found_is_not(audience: np.ndarray):
    able = np.arange(len(audience)) % 3 > 0
    near, weights, _ = SharedAudience(sp.csr_matrix(audience), 1).completed(K, able, 0.3)
    assert (weights > 0).sum() > 50
    assert able[near[weights > 0]].all()


def test_without_a_share_nothing_is_filled(audience: np.ndarray):
    behaviour = SharedAudience(sp.csr_matrix(audience), 1)
    for found, plain in zip(behaviour.completed(K, None, 0), behaviour.candidates(K), strict=False):
        np.testing.assert_array_equal(found, plain)
