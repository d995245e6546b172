import numpy as np
import pytest

import training.teachers.label_noise
from training.teachers.label_noise import estimate_noise


def related(seed: int, rows: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Content (N, 8), and unit vectors (N, 6) that follow from it, with noise."""
    rng = np.random.default_rng(seed)
    content = rng.standard_normal((rows, 8)).astype(np.float32)
    vectors = content @ rng.standard_normal((8, 6)) + 0.5 * rng.standard_normal((rows, 6))
    return content, (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_right_vectors_are_trusted():
    trust = estimate_noise(*related(0), seed=0).trust
    assert trust.dtype == np.float32
    assert trust.mean() > 0.95


def test_vectors_of_others_are_told():
    content, vectors = related(1)
    wrong = np.random.default_rng(2).permutation(len(vectors))[: len(vectors) // 2]
    vectors[wrong] = vectors[np.roll(wrong, 1)]
    trust = estimate_noise(content, vectors, seed=0).trust
    is_wrong = np.isin(np.arange(len(vectors)), wrong)
    assert trust[~is_wrong].mean() > 0.85
    assert trust[is_wrong].mean() < 0.25


def test_vectors_of_one_number_are_judged_too():
    content, _ = related(5)
    signs = np.sign(content[:, :1])
    found = estimate_noise(content, signs, seed=0)
    assert found.predicted.shape == signs.shape
    assert found.trust.mean() > 0.8


@pytest.mark.parametrize("rows", [30, 600])
def test_content_that_says_nothing_is_no_judge(rows: int):
    content, _ = related(3, rows)
    _, vectors = related(4, rows)
    assert (estimate_noise(content, vectors, seed=0).trust == 1).all()


def test_it_is_the_same_again_and_bounded():
    content, vectors = related(5)
    first, second = (
        estimate_noise(content, vectors, seed=7),
        estimate_noise(content, vectors, seed=7),
    )
    np.testing.assert_array_equal(first.trust, second.trust)
    np.testing.assert_array_equal(first.predicted, second.predicted)
    assert ((first.trust >= 0) & (first.trust <= 1)).all()


def test_what_is_predicted_in_place_of_another_s_vector_is_near_to_its_own():
    content, own = related(8)
    vectors = own.copy()
    wrong = np.random.default_rng(2).permutation(len(vectors))[: len(vectors) // 2]
    vectors[wrong] = own[np.roll(wrong, 1)]
    predicted = estimate_noise(content, vectors, seed=0).predicted
    np.testing.assert_allclose(np.linalg.norm(predicted, axis=1), 1, rtol=1e-5)
    assert (predicted[wrong] * own[wrong]).sum(1).mean() > 0.8
    assert abs((predicted[wrong] * vectors[wrong]).sum(1).mean()) < 0.2


def test_too_few_to_judge_are_trusted():
    content, vectors = related(6, rows=9)
    assert (estimate_noise(content, vectors, seed=0).trust == 1).all()


def test_many_are_judged_by_a_random_sample_of_all(monkeypatch: pytest.MonkeyPatch):
    """The file begins with streamers of another kind, whose content tells nothing of the rest."""
    content, own = related(9, rows=1200)
    content[:600, :4], content[600:, 4:] = 0, 0
    vectors = own.copy()
    wrong = 600 + np.random.default_rng(2).permutation(600)[:200]
    vectors[wrong] = own[np.roll(wrong, 1)]
    is_wrong = np.isin(np.arange(1200), wrong)
    monkeypatch.setattr(training.teachers.label_noise, "_FITTED", 400)
    trust = estimate_noise(content, vectors, seed=0).trust
    assert trust[600:][is_wrong[600:]].mean() < trust[600:][~is_wrong[600:]].mean() - 0.3
    np.testing.assert_array_equal(trust, estimate_noise(content, vectors, seed=0).trust)
