"""Neighbourhoods, rotations and agreement with content, where the answer is known."""

import numpy as np
import pytest

from service.engine.spaces.geometry import (
    agreement_with_content,
    audience_agreement,
    neighbourhood_overlap,
    rotation_residual,
)
from service.engine.work.lanes import run_to_end

DRAW = np.random.default_rng(4)
VECTORS = DRAW.normal(size=(400, 16)).astype(np.float32)
TURN = np.linalg.qr(DRAW.normal(size=(16, 16)))[0].astype(np.float32)
ORDER = DRAW.permutation(400)


def test_a_rotation_keeps_neighbours_and_leaves_nothing() -> None:
    turned = VECTORS @ TURN * 3
    overlap = run_to_end(neighbourhood_overlap(VECTORS, turned))
    assert overlap.beyond_chance == pytest.approx(1, abs=0.01)
    assert overlap.k == 20
    assert rotation_residual(VECTORS, turned) == pytest.approx(0, abs=1e-5)


def test_shuffled_rows_have_the_overlap_of_chance() -> None:
    overlap = run_to_end(neighbourhood_overlap(VECTORS, VECTORS[ORDER]))
    assert abs(overlap.beyond_chance) < 0.05
    assert rotation_residual(VECTORS, VECTORS[ORDER]) > 0.5


def test_overlap_counts_the_same_neighbours() -> None:
    """Against a double loop."""
    other = VECTORS[:50] + DRAW.normal(size=(50, 16)).astype(np.float32)
    found = run_to_end(neighbourhood_overlap(VECTORS[:50], other))

    def nearest(vectors: np.ndarray, row: int) -> set[int]:
        cosines = [
            -2.0
            if i == row
            else float(v @ vectors[row] / np.linalg.norm(v) / np.linalg.norm(vectors[row]))
            for i, v in enumerate(vectors)
        ]
        return set(np.argsort(cosines)[-5:].tolist())

    same = [len(nearest(VECTORS[:50], i) & nearest(other, i)) for i in range(50)]
    assert found.k == 5
    assert found.share == pytest.approx(sum(same) / 250)


def test_vectors_that_follow_from_content_agree_and_shuffled_ones_do_not() -> None:
    content = DRAW.normal(size=(400, 32)).astype(np.float32)
    vectors = content @ DRAW.normal(size=(32, 8)).astype(np.float32)
    vectors += DRAW.normal(size=vectors.shape) * vectors.std()
    found = run_to_end(agreement_with_content(content, vectors.astype(np.float32)))
    assert found.auc > 0.9
    shuffled = vectors[ORDER].astype(np.float32)
    for rows in (400, 40):
        found = run_to_end(agreement_with_content(content[:rows], shuffled[:rows]))
        assert found.auc < found.least


def test_audiences_agree_unless_users_lost_their_ids_or_come_of_another_run() -> None:
    users = DRAW.normal(size=(300, 16)).astype(np.float32)

    def agreement(streamers: np.ndarray, others: np.ndarray) -> float:
        return run_to_end(audience_agreement(streamers, others, VECTORS, users))

    assert agreement(VECTORS @ TURN, 3 * users @ TURN) == pytest.approx(1, abs=1e-5)
    assert agreement(VECTORS, -users) == pytest.approx(-1, abs=1e-5)
    assert abs(agreement(VECTORS, users[DRAW.permutation(300)])) < 0.05
    assert agreement(VECTORS @ TURN, users) < 3 / 16


def test_agreement_of_audiences_is_the_correlation_of_all_pairs() -> None:
    def scores(streamers: np.ndarray, users: np.ndarray) -> np.ndarray:
        cosines = np.array(
            [
                [float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for b in users]
                for a in streamers
            ]
        )
        return cosines - cosines.mean(0) - cosines.mean(1)[:, None] + cosines.mean()

    users = DRAW.normal(size=(40, 16)).astype(np.float32)
    noisy = [v + DRAW.normal(size=v.shape).astype(np.float32) for v in (VECTORS[:30], users)]
    found = run_to_end(audience_agreement(VECTORS[:30], users, *noisy))
    right = np.corrcoef(scores(VECTORS[:30], users).ravel(), scores(*noisy).ravel())[0, 1]
    assert found == pytest.approx(right, abs=1e-5)
