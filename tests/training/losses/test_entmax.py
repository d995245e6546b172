import math

import pytest
import torch

from tests.training.losses.contrasts import CONTRASTS, TAU, batch, double_loop
from training.losses.entmax import entmax, entmax_15

contrast = CONTRASTS["entmax"]


def naive_entmax(x: list[float]) -> list[float]:
    """By bisection on the threshold."""
    low, high = max(x) / 2 - 1, max(x) / 2
    for _ in range(100):
        middle = (low + high) / 2
        if sum(max(v / 2 - middle, 0) ** 2 for v in x) > 1:
            low = middle
        else:
            high = middle
    return [max(v / 2 - low, 0) ** 2 for v in x]


def row(s: list[float], weights: list[float]) -> float:
    x = [each / TAU for each in s]
    y = [w / sum(weights) for w in weights]
    # max_p <p, x> - W(p), reached by entmax, and what y gives instead
    best, given = (
        sum(a * b for a, b in zip(q, x, strict=True)) - 4 / 3 * (sum(a**1.5 for a in q) - 1)
        for q in (naive_entmax(x), y)
    )
    return best - given


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 3), (7, 9)])
def test_equals_the_double_loop(rows: int, columns: int):
    pairs = batch(rows, columns)
    assert float(entmax(*pairs, TAU)) == pytest.approx(double_loop(row, *pairs), abs=1e-9)


def test_probabilities_are_those_of_bisection_and_sparse():
    x = 3 * torch.randn(20, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p = entmax_15(x)
    expected = torch.tensor([naive_entmax(row.tolist()) for row in x], dtype=torch.float64)
    torch.testing.assert_close(p, expected)
    torch.testing.assert_close(p.sum(1), torch.ones(20, dtype=torch.float64))
    assert ((p == 0).sum(1) > 15).all()


def test_its_gradient_is_that_of_the_loss():
    s, wanted, excluded = batch(5, 7)
    s.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: entmax(x, wanted, excluded, 0.2), (s,))


def test_a_negative_that_is_far_enough_is_not_pushed():
    s = torch.tensor([[0.9, 0.8, -0.9]], dtype=torch.float64, requires_grad=True)
    contrast(s, torch.tensor([[1.0, 0.0, 0.0]]).double(), torch.zeros(1, 3).bool()).backward()
    assert s.grad is not None
    pulled, near, far = s.grad[0].tolist()
    assert pulled < 0 < near
    assert math.isclose(pulled, -near)
    assert far == 0


def test_only_the_proportion_of_the_weights_counts():
    s, wanted, excluded = batch(6, 6)
    torch.testing.assert_close(contrast(s, 5 * wanted, excluded), contrast(s, wanted, excluded))
