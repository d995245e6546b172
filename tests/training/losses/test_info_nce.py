import math

import pytest
import torch
from torch.nn.functional import normalize

from training.losses.info_nce import symmetric_info_nce


def naive(first: torch.Tensor, second: torch.Tensor, temperature: float) -> float:
    total, n = 0.0, len(first)
    for a, b in ((first, second), (second, first)):
        for i in range(n):
            scores = [float(a[i] @ b[j]) / temperature for j in range(n)]
            total += math.log(sum(math.exp(s) for s in scores)) - scores[i]
    return total / (2 * n)


def views(n: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(n)
    a, b = torch.randn(2, n, 6, generator=generator, dtype=torch.float64)
    return normalize(a, dim=1).to(dtype), normalize(b, dim=1).to(dtype)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_equals_the_double_loop(n: int):
    first, second = views(n)
    assert float(symmetric_info_nce(first, second, 0.3)) == pytest.approx(naive(first, second, 0.3))


def test_is_zero_and_has_a_gradient_for_an_empty_batch():
    empty = torch.zeros(0, 4, requires_grad=True)
    loss = symmetric_info_nce(empty, empty, 0.1)
    loss.backward()
    assert loss.item() == 0


def test_treats_both_views_alike():
    first, second = views(5)
    one, other = symmetric_info_nce(first, second, 0.1), symmetric_info_nce(second, first, 0.1)
    assert float(one) == pytest.approx(float(other))


def test_gradient_pulls_the_views_of_a_streamer_together():
    first, second = views(4)
    first.requires_grad_()
    symmetric_info_nce(first, second, 0.1).backward()
    assert first.grad is not None
    moved = normalize(first.detach() - 0.01 * first.grad, dim=1)
    before = symmetric_info_nce(first.detach(), second, 0.1)
    assert symmetric_info_nce(moved, second, 0.1) < before


def test_keeps_the_type():
    assert symmetric_info_nce(*views(3, torch.float32), 0.1).dtype == torch.float32
