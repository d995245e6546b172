import logging
import math

import numpy as np
import pytest
import scipy.sparse as sp

from training.mining import positives
from training.mining.positives import (
    IdSpace,
    Positives,
    SharedAudience,
    nearest,
    trusted_only,
    weigh,
)
from training.teachers.label_noise import NoiseEstimate


def unit(rows: int, width: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def find(rows: int, count: int, floor: float = 0.1) -> Positives:
    near, weights = IdSpace(unit(rows, 4, 3), 0.3, 0.7).candidates(count)
    return weigh(near, weights, unit(rows, 6, 4), floor, np.random.default_rng(0))


def single(found: Positives) -> np.ndarray:
    return found.strength


def test_nearest_are_the_ones_of_a_full_sort_without_oneself():
    x = unit(3000, 8, 0)  # more than one block
    near, cosines = nearest(x, 5)
    full = x @ x.T
    np.fill_diagonal(full, -np.inf)
    np.testing.assert_allclose(cosines, -np.sort(-full, 1)[:, :5], atol=1e-6)
    assert not (near == np.arange(3000)[:, None]).any()


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_audiences_are_compared_by_cosine_from_two_users_on(power: float):
    dense = (np.random.default_rng(0).random((40, 15)) < 0.2).astype(np.float32)
    dense[7] = 0
    behaviour = SharedAudience(sp.csr_matrix(dense), power)
    near, weights = behaviour.candidates(6)
    related = behaviour.related(np.arange(40), np.arange(40))
    for i in range(40):
        cosines = []
        for j in range(40):
            shared = float(dense[i] @ dense[j])
            size = math.sqrt(dense[i].sum() * dense[j].sum())
            assert related[i, j] == (shared >= 2)
            if i != j:
                cosines.append(shared / size if shared >= 2 else 0.0)
        best = sorted(cosines, reverse=True)[:6]
        expected = [(c / best[0]) ** power if c > 0 else 0 for c in best]
        np.testing.assert_allclose(weights[i], expected, atol=1e-6)
        assert i not in near[i]


def test_who_shares_no_audience_has_no_positive():
    audience = sp.csr_matrix(np.array([[1, 1, 0], [1, 1, 1], [0, 0, 1]], np.float32))
    near, weights = SharedAudience(audience, 1).candidates(2)
    found = weigh(near, weights, unit(3, 4, 0), 0.1, np.random.default_rng(0))
    assert found.anchors.tolist() == [0, 1]
    assert found.draw(np.array([0, 1]), np.random.default_rng(0)).tolist() == [1, 0]
    assert found.weights.nnz == 2


def test_weights_in_the_id_space_fall_with_the_cosine():
    directions = unit(30, 4, 7)
    behaviour = IdSpace(directions, 0.1, 0.7)
    near, weights = behaviour.candidates(4)
    for i in range(30):
        cosines = [float(directions[i] @ directions[j]) for j in near[i]]
        expected = [math.exp((c - max(cosines)) / 0.1) for c in cosines]
        np.testing.assert_allclose(weights[i], expected, rtol=1e-3)
    rows = np.array([4, 9, 1])
    expected = directions[rows] @ directions[rows].T > 0.7
    np.testing.assert_array_equal(behaviour.related(rows, rows), expected)


def test_other_content_makes_a_weight_smaller_down_to_the_floor():
    near, _ = nearest(unit(12, 4, 1), 3)
    content, ones = unit(12, 6, 2), np.ones((12, 3), np.float32)
    weights = single(weigh(near, ones, content, 0.2, np.random.default_rng(5)))
    permutation = np.random.default_rng(5).permutation(12)
    theta = np.quantile([content[i] @ content[permutation[i]] for i in range(12)], 0.9)
    spread = np.array([[content[i] @ content[j] for j in near[i]] for i in range(12)]).std()
    for i in range(12):
        for k, j in enumerate(near[i]):
            alike = 1 / (1 + math.exp(-(float(content[i] @ content[j]) - theta) / (0.25 * spread)))
            assert weights[i, k] == pytest.approx(0.2 + 0.8 * alike, rel=1e-3)


def test_pairs_are_symmetric_with_the_larger_weight():
    found = find(20, 5)
    expected = np.zeros((20, 20))
    np.put_along_axis(expected, found.near, single(found), 1)
    np.testing.assert_allclose(found.weights.toarray(), np.maximum(expected, expected.T), atol=1e-6)


def test_pairs_of_some_rows_are_those_of_all():
    found = find(40, 5)
    rows = np.array([7, 3, 39, 3, 0, 12, 25])  # one of them twice, as in a batch
    every = found.weights.toarray()
    np.testing.assert_array_equal(found.among(rows), every[rows][:, rows])
    others = np.random.default_rng(1).integers(0, 40, (len(rows), 9))
    related = np.take_along_axis(every[rows] > 0, others, 1)
    assert 0.05 < related.mean() < 0.95
    np.testing.assert_array_equal(found.has(rows, others), related)


def test_a_neighbour_that_is_named_twice_counts_by_the_sum():
    near = np.array([[1, 1], [2, 0], [0, 1]])
    weights = np.array([[0.5, 0.25], [0, 0], [0.125, 0]], np.float32)
    found = Positives.of(near, weights)
    expected = [[0, 0.75, 0.125], [0.75, 0, 0], [0.125, 0, 0]]
    np.testing.assert_array_equal(found.weights.toarray(), expected)
    np.testing.assert_array_equal(found.among(np.arange(3)), expected)
    assert found.has(np.arange(3), np.array([[1], [2], [1]])).ravel().tolist() == [1, 0, 0]


def test_of_very_many_streamers_a_user_counts_for_a_sample(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    audience = np.zeros((60, 30), np.float32)
    audience[:, 0] = 1  # watches everybody
    for pair in range(29):
        audience[2 * pair : 2 * pair + 2, 1 + pair] = 1
    all_weights = SharedAudience(sp.csr_matrix(audience), 1).candidates(3)[1]
    monkeypatch.setattr(positives, "EXACT_UP_TO", 50)
    monkeypatch.setattr(positives, "_MOST_WATCHED", 20)
    sampled = SharedAudience(sp.csr_matrix(audience), 1)
    with caplog.at_level(logging.INFO, "training"):
        near, few_weights = sampled.candidates(3)
    # Of two who share two users, one is found by the other if it is in the sample of 20 of 60.
    found = (few_weights > 0).sum() / (all_weights > 0).sum()
    assert f"recall@20 {found:.3f}" in caplog.text
    assert (all_weights[:58, 0] == 1).all()
    assert 10 <= (few_weights[:58, 0] == 1).sum() <= 20  # found are those in the sample
    kept = few_weights[:58, 0] > 0
    np.testing.assert_array_equal(near[:58][kept, 0], (np.arange(58) ^ 1)[kept])


def test_draws_follow_the_weights():
    found = find(6, 3)
    drawn = found.draw(np.zeros(20000, np.int64), np.random.default_rng(1))
    weights = single(found)[0]
    for place, weight in zip(found.near[0], weights / weights.sum(), strict=True):
        assert (drawn == place).mean() == pytest.approx(weight, abs=0.015)


def test_fewer_streamers_than_neighbours():
    assert find(2, 20).near.tolist() == [[1], [0]]


def test_pairs_count_as_far_as_both_ends_are_trusted():
    vectors = unit(30, 4, 5)
    near, weights = nearest(vectors, 3)
    weights = (np.abs(weights) + 0.1).astype(np.float32)
    trust = np.linspace(0, 1, 30).astype(np.float32)
    noise = NoiseEstimate(vectors, trust, np.zeros_like(vectors))  # nothing was predicted
    same, counted = trusted_only(near, weights, noise)
    np.testing.assert_array_equal(same, near)
    for i in range(30):
        for place, j in enumerate(near[i]):
            expected = weights[i, place] * trust[i] * trust[j]
            assert counted[i, place] == pytest.approx(expected if expected >= 1e-3 else 0)


def test_where_a_vector_is_doubted_those_near_to_its_prediction_are_positives():
    vectors, predicted = unit(40, 4, 6), unit(40, 4, 7)
    trust = np.ones(40, np.float32)
    trust[::2] = 0
    near, weights = nearest(vectors, 3)
    found, counted = trusted_only(
        near, np.abs(weights).astype(np.float32), NoiseEstimate(vectors, trust, predicted)
    )
    assert found.shape == counted.shape == (40, 6)
    assert not counted[1::2, 3:].any()  # nobody stands in for those who are trusted
    assert not counted[::2, :3].any()
    trusted = np.arange(1, 40, 2)
    for i in range(0, 40, 2):
        cosines = vectors[trusted] @ predicted[i]
        best = trusted[np.argsort(-cosines, kind="stable")[:3]]
        assert found[i, 3:].tolist() == best.tolist()
        falling = 0.5 * np.exp((np.sort(cosines)[::-1][:3] - cosines.max()) / 0.1)
        np.testing.assert_allclose(counted[i, 3:], falling, rtol=1e-4)
    assert set(Positives.of(found, counted).anchors) >= set(range(0, 40, 2))


def test_without_any_doubt_the_candidates_are_as_they_were():
    near, weights = nearest(unit(20, 4, 8), 3)
    weights = (np.abs(weights) + 0.1).astype(np.float32)
    same, counted = trusted_only(near, weights, NoiseEstimate.blind(unit(20, 4, 8)))
    np.testing.assert_array_equal(same, near)
    np.testing.assert_array_equal(counted, weights)


def test_who_is_not_able_comes_last():
    able = np.ones(12, bool)
    able[[2, 5]] = False
    near, cosines = nearest(unit(12, 4, 9), 11, able)
    assert not np.isin(near[:, :8], [2, 5]).any()
    assert (cosines[near == 2] == -2).all()
    audience = sp.csr_matrix(np.ones((12, 3), np.float32))
    near, weights = SharedAudience(audience, 1).candidates(11, able)
    assert (weights[np.isin(near, [2, 5])] == 0).all()
    assert (weights[~np.isin(near, [2, 5])] == 1).all()
