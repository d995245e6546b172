import pytest
import torch

from training.losses.regression import regression


def test_equals_the_double_loop():
    generator = torch.Generator().manual_seed(0)
    predicted, target = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    trust = torch.rand(5, generator=generator, dtype=torch.float64)
    expected = 0.0
    for i in range(5):
        error = sum(float(predicted[i, k] - target[i, k]) ** 2 for k in range(3)) / 3
        expected += float(trust[i]) * error / 5
    assert float(regression(predicted, target, trust)) == pytest.approx(expected)


def test_an_untrusted_target_has_no_gradient():
    predicted = torch.zeros(2, 3, requires_grad=True)
    regression(predicted, torch.ones(2, 3), torch.tensor([1.0, 0.0])).backward()
    assert predicted.grad is not None
    assert predicted.grad[0].abs().sum() > 0
    assert predicted.grad[1].abs().sum() == 0


def test_is_zero_for_an_empty_batch():
    empty = torch.zeros(0, 3, requires_grad=True)
    loss = regression(empty, torch.zeros(0, 3), torch.zeros(0))
    loss.backward()
    assert loss.item() == 0
