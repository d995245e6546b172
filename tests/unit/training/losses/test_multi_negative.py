import math

import pytest
import torch

from training.losses.multi_negative import multi_negative_softmax


def naive(positive: torch.Tensor, negatives: torch.Tensor, tau: float) -> float:
    total = 0.0
    for i in range(len(positive)):
        right = math.exp(float(positive[i]) / tau)
        wrong = sum(math.exp(float(x) / tau) for x in negatives[i])
        total -= math.log(right / (right + wrong))
    return total / len(positive)


@pytest.mark.parametrize(("rows", "count"), [(1, 1), (5, 4)])
def test_equals_the_double_loop(rows: int, count: int):
    generator = torch.Generator().manual_seed(rows)
    positive = torch.randn(rows, generator=generator, dtype=torch.float64)
    negatives = torch.randn(rows, count, generator=generator, dtype=torch.float64)
    loss = multi_negative_softmax(positive, negatives, 0.3)
    assert float(loss) == pytest.approx(naive(positive, negatives, 0.3))


@pytest.mark.parametrize("shape", [(0, 4), (3, 0)])
def test_is_zero_with_a_gradient_when_there_is_nothing_to_tell_apart(shape: tuple[int, int]):
    positive = torch.zeros(shape[0], requires_grad=True)
    loss = multi_negative_softmax(positive, torch.zeros(shape), 0.1)
    loss.backward()
    assert loss.item() == 0


def test_gradient_raises_the_positive_and_keeps_the_type():
    positive, negatives = torch.zeros(2, requires_grad=True), torch.zeros(2, 3, requires_grad=True)
    loss = multi_negative_softmax(positive, negatives, 0.1)
    loss.backward()
    assert loss.dtype == torch.float32
    assert positive.grad is not None
    assert negatives.grad is not None
    assert (positive.grad < 0).all()
    assert (negatives.grad > 0).all()
