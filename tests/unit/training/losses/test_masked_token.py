import math

import pytest
import torch

from training.losses.masked_token import masked_token_prediction


def batch(masked: int, sample: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(masked)
    true = torch.randn(masked, generator=generator, dtype=torch.float64)
    sampled = torch.randn(masked, sample, generator=generator, dtype=torch.float64)
    expected_true = torch.rand(masked, generator=generator, dtype=torch.float64).log()
    expected_sampled = torch.rand(sample, generator=generator, dtype=torch.float64).log()
    accidental = torch.rand(masked, sample, generator=generator) < 0.3
    return true, sampled, expected_true, expected_sampled, accidental


def naive(
    true: torch.Tensor,
    sampled: torch.Tensor,
    expected_true: torch.Tensor,
    expected_sampled: torch.Tensor,
    accidental: torch.Tensor,
) -> float:
    total = 0.0
    for e in range(len(true)):
        right = math.exp(float(true[e])) / math.exp(float(expected_true[e]))
        wrong = sum(
            math.exp(float(sampled[e, s])) / math.exp(float(expected_sampled[s]))
            for s in range(sampled.shape[1])
            if not accidental[e, s]
        )
        total -= math.log(right / (right + wrong))
    return total / len(true)


@pytest.mark.parametrize(("masked", "sample"), [(1, 1), (6, 9), (3, 0)])
def test_equals_the_double_loop(masked: int, sample: int):
    parts = batch(masked, sample)
    assert float(masked_token_prediction(*parts)) == pytest.approx(naive(*parts))


def test_estimates_the_softmax_over_the_whole_vocabulary():
    """All tokens in the sample with the count that they have there: no estimate is left."""
    logits = torch.randn(5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    others = torch.arange(5) != 2
    loss = masked_token_prediction(
        logits[2:3], logits[None], torch.zeros(1).double(), torch.zeros(5).double(), ~others[None]
    )
    assert float(loss) == pytest.approx(-float(logits.log_softmax(0)[2]))


def test_is_zero_with_a_gradient_when_nothing_is_masked():
    true = torch.zeros(0, requires_grad=True)
    loss = masked_token_prediction(
        true, torch.zeros(0, 4), torch.zeros(0), torch.zeros(4), torch.zeros(0, 4).bool()
    )
    loss.backward()
    assert loss.item() == 0


def test_gradient_raises_what_was_masked_and_keeps_the_type():
    true, sampled, *rest = (
        part.float() if part.is_floating_point() else part for part in batch(4, 5)
    )
    true.requires_grad_()
    loss = masked_token_prediction(true, sampled, *rest)
    loss.backward()
    assert loss.dtype == torch.float32
    assert true.grad is not None
    assert (true.grad < 0).all()
