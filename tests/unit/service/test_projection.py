"""How two hand-overs of a space are compared: neighbourhoods, rotations, audiences."""

import numpy as np
import pytest
from numpy.typing import NDArray

from service.engine.spaces.geometry import (
    agreement_with_content,
    audience_agreement,
    neighbourhood_overlap,
    rotation_residual,
)
from service.engine.spaces.row_vectors import RowVectors
from service.engine.work.lanes import run_to_end

Floats = NDArray[np.float32]
DRAW = np.random.default_rng(4)
VECTORS = DRAW.normal(size=(400, 16)).astype(np.float32)
TURN = np.linalg.qr(DRAW.normal(size=(16, 16)))[0].astype(np.float32)
ORDER = DRAW.permutation(400)
USERS = DRAW.normal(size=(300, 16)).astype(np.float32)


def cosine(one: Floats, other: Floats) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_a_rotation_keeps_neighbours_and_leaves_nothing() -> None:
    turned = VECTORS @ TURN * 3
    overlap = run_to_end(neighbourhood_overlap(VECTORS, turned))
    assert (overlap.k, overlap.beyond_chance) == (20, pytest.approx(1, abs=0.01))
    assert rotation_residual(VECTORS, turned) == pytest.approx(0, abs=1e-5)
    shuffled = run_to_end(neighbourhood_overlap(VECTORS, VECTORS[ORDER]))
    assert shuffled.beyond_chance == pytest.approx(0, abs=0.05)
    assert rotation_residual(VECTORS, VECTORS[ORDER]) > 0.5


def test_overlap_counts_the_same_neighbours() -> None:
    one = VECTORS[:50]
    other = one + DRAW.normal(size=(50, 16)).astype(np.float32)

    def near(vectors: Floats, row: int) -> set[int]:
        order = sorted(range(50), key=lambda i: -cosine(vectors[i], vectors[row]))
        return {i for i in order if i != row and order.index(i) <= 5}

    same = [len(near(one, i) & near(other, i)) for i in range(50)]
    found = run_to_end(neighbourhood_overlap(one, other))
    assert (found.k, found.share) == (5, pytest.approx(sum(same) / 250))


def test_vectors_that_follow_from_content_agree_and_shuffled_ones_do_not() -> None:
    content = DRAW.normal(size=(400, 32)).astype(np.float32)
    vectors = content @ DRAW.normal(size=(32, 8))
    vectors = (vectors + DRAW.normal(size=vectors.shape) * vectors.std()).astype(np.float32)
    found = run_to_end(agreement_with_content(content, vectors))
    assert found.auc > max(0.9, found.least)
    for rows in (400, 40):
        shuffled = run_to_end(agreement_with_content(content[:rows], vectors[ORDER][:rows]))
        assert shuffled.auc < shuffled.least


def test_audiences_agree_unless_users_lost_their_ids() -> None:
    def agreement(streamers: Floats, users: Floats) -> float:
        return run_to_end(audience_agreement(streamers, users, VECTORS, USERS))

    assert agreement(VECTORS @ TURN, 3 * USERS @ TURN) == pytest.approx(1, abs=1e-5)
    assert agreement(VECTORS, -USERS) == pytest.approx(-1, abs=1e-5)
    assert agreement(VECTORS, USERS[DRAW.permutation(300)]) == pytest.approx(0, abs=0.05)


def test_agreement_of_audiences_is_the_correlation_of_all_pairs() -> None:
    def scores(streamers: Floats, users: Floats) -> NDArray[np.floating]:
        found = np.array([[cosine(a, b) for b in users] for a in streamers])
        return found - found.mean(0) - found.mean(1)[:, None] + found.mean()

    streamers, users = VECTORS[:30], USERS[:40]
    noisy = [v + DRAW.normal(size=v.shape).astype(np.float32) for v in (streamers, users)]
    right = np.corrcoef(scores(streamers, users).ravel(), scores(*noisy).ravel())[0, 1]
    found = run_to_end(audience_agreement(streamers, users, *noisy))
    assert found == pytest.approx(right, abs=1e-5)


def test_many_rows_in_16_bits_are_right_to_a_small_part_of_their_length() -> None:
    lengths = 10.0 ** DRAW.uniform(-9, 9, (3000, 1))
    values = (DRAW.standard_normal((3000, 16)) * lengths).astype(np.float32)
    kept, norms = RowVectors.of(values, 100), np.linalg.norm(values, axis=1)
    assert (np.abs(kept.block(0, 3000) - values).max(1) <= 2e-5 * norms).all()
    np.testing.assert_allclose(kept.lengths(), norms, rtol=1e-4)
    query = DRAW.standard_normal(16).astype(np.float32)
    bound = 1e-4 * norms * float(np.linalg.norm(query))
    assert (np.abs(kept.scores(query) - values.astype(np.float64) @ query) <= bound).all()
    few = RowVectors.of(values[:50], 50)
    assert few.block(10, 20).tobytes() == values[10:20].tobytes()
