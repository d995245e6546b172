import numpy as np
import pytest

from training.trust import trust_in


def related(seed: int, rows: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Content (N, 8), and unit vectors (N, 6) that follow from it, with noise."""
    rng = np.random.default_rng(seed)
    content = rng.standard_normal((rows, 8)).astype(np.float32)
    vectors = content @ rng.standard_normal((8, 6)) + 0.5 * rng.standard_normal((rows, 6))
    return content, (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_right_vectors_are_trusted():
    trust = trust_in(*related(0), seed=0)
    assert trust.dtype == np.float32
    assert trust.mean() > 0.95


def test_vectors_of_others_are_told():
    content, vectors = related(1)
    wrong = np.random.default_rng(2).permutation(len(vectors))[: len(vectors) // 2]
    vectors[wrong] = vectors[np.roll(wrong, 1)]
    trust = trust_in(content, vectors, seed=0)
    is_wrong = np.isin(np.arange(len(vectors)), wrong)
    assert trust[~is_wrong].mean() > 0.85
    assert trust[is_wrong].mean() < 0.25


@pytest.mark.parametrize("rows", [30, 600])
def test_content_that_says_nothing_is_no_judge(rows: int):
    content, _ = related(3, rows)
    _, vectors = related(4, rows)
    assert (trust_in(content, vectors, seed=0) == 1).all()


def test_it_is_the_same_again_and_bounded():
    content, vectors = related(5)
    first, second = trust_in(content, vectors, seed=7), trust_in(content, vectors, seed=7)
    np.testing.assert_array_equal(first, second)
    assert ((first >= 0) & (first <= 1)).all()


def test_too_few_to_judge_are_trusted():
    content, vectors = related(6, rows=9)
    assert (trust_in(content, vectors, seed=0) == 1).all()
