import math

import numpy as np
import pytest

from training.positives import find_positives, nearest


def unit(rows: int, width: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_nearest_are_the_ones_of_a_full_sort_without_oneself():
    x = unit(3000, 8, 0)  # more than one block
    near, cosines = nearest(x, 5)
    full = x @ x.T
    np.fill_diagonal(full, -np.inf)
    expected = np.sort(-full, 1)[:, :5] * -1
    np.testing.assert_allclose(cosines, expected, atol=1e-6)
    assert not (near == np.arange(3000)[:, None]).any()


def test_weights_follow_the_formula():
    directions, content = unit(12, 4, 1), unit(12, 6, 2)
    found = find_positives(directions, content, 3, 0.1, np.random.default_rng(5))
    permutation = np.random.default_rng(5).permutation(12)
    theta = np.quantile([content[i] @ content[permutation[i]] for i in range(12)], 0.9)
    spread = np.array([[content[i] @ content[j] for j in found.near[i]] for i in range(12)]).std()
    weights = np.diff(found.cumulative, axis=1, prepend=0)
    for i in range(12):
        best = max(float(directions[i] @ directions[j]) for j in range(12) if j != i)
        for k, j in enumerate(found.near[i]):
            t, c = float(directions[i] @ directions[j]), float(content[i] @ content[j])
            alike = 1 / (1 + math.exp(-(c - theta) / (0.25 * spread)))
            expected = math.exp((t - best) / 0.1) * (0.1 + 0.9 * alike)
            assert weights[i, k] == pytest.approx(expected, rel=1e-3)


def test_pairs_are_symmetric_with_the_larger_weight():
    found = find_positives(unit(20, 4, 3), unit(20, 6, 4), 5, 0.1, np.random.default_rng(0))
    pairs, single = found.weights.toarray(), np.zeros((20, 20))
    weights = np.diff(found.cumulative, axis=1, prepend=0)
    np.put_along_axis(single, found.near, weights, 1)
    np.testing.assert_allclose(pairs, np.maximum(single, single.T), atol=1e-6)


def test_draws_follow_the_weights():
    found = find_positives(unit(6, 3, 0), unit(6, 3, 1), 3, 0.3, np.random.default_rng(0))
    anchors = np.zeros(20000, np.int64)
    drawn = found.draw(anchors, np.random.default_rng(1))
    weights = np.diff(found.cumulative[0], prepend=0)
    for place, weight in zip(found.near[0], weights / weights.sum(), strict=True):
        assert (drawn == place).mean() == pytest.approx(weight, abs=0.015)


def test_fewer_streamers_than_neighbours():
    found = find_positives(unit(2, 3, 0), unit(2, 3, 1), 20, 0.1, np.random.default_rng(0))
    assert found.near.tolist() == [[1], [0]]
