import math

import pytest
import torch

from training.losses.pseudo_label import pseudo_label


def naive(logits: torch.Tensor, labels: torch.Tensor) -> float:
    total = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        total += math.log(sum(math.exp(value) for value in row)) - row[label]
    return total / len(logits)


@pytest.mark.parametrize("n", [1, 5])
def test_equals_the_double_loop(n: int):
    generator = torch.Generator().manual_seed(n)
    logits = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 4, (n,), generator=generator)
    assert float(pseudo_label(logits, labels)) == pytest.approx(naive(logits, labels))


def test_is_zero_with_a_gradient_for_an_empty_batch():
    empty = torch.zeros(0, 4, requires_grad=True)
    loss = pseudo_label(empty, torch.zeros(0, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0


def test_keeps_the_type():
    assert pseudo_label(torch.zeros(2, 3), torch.tensor([0, 2])).dtype == torch.float32
