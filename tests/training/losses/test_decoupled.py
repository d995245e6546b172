import math

import pytest
import torch

from tests.training.losses.contrasts import (
    batch,
    check_a_step_helps,
    check_degenerate_batches,
    check_excluded_pairs_have_no_influence,
)
from training.losses.decoupled import decoupled


def contrast(s: torch.Tensor, wanted: torch.Tensor, excluded: torch.Tensor) -> torch.Tensor:
    return decoupled(s, wanted, excluded, 0.2)


def naive(s: torch.Tensor, wanted: torch.Tensor, excluded: torch.Tensor, tau: float) -> float:
    rows = []
    for i in range(s.shape[0]):
        allowed = [j for j in range(s.shape[1]) if not excluded[i, j]]
        weight = sum(float(wanted[i, j]) for j in allowed)
        negatives = [float(s[i, j]) / tau for j in allowed if wanted[i, j] == 0]
        if weight == 0 or not negatives:
            continue
        repelled = math.log(sum(math.exp(x) for x in negatives))
        rows.append(
            sum(float(wanted[i, j]) / weight * (repelled - float(s[i, j]) / tau) for j in allowed)
        )
    return sum(rows) / len(rows) if rows else 0.0


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 3), (7, 9)])
def test_equals_the_double_loop(rows: int, columns: int):
    pairs = batch(rows, columns)
    assert float(decoupled(*pairs, 0.2)) == pytest.approx(naive(*pairs, 0.2))


def test_the_pull_of_a_positive_does_not_fade_when_it_is_easy():
    s = torch.tensor([[0.99, -0.9]], dtype=torch.float64, requires_grad=True)
    contrast(s, torch.tensor([[1.0, 0.0]]).double(), torch.zeros(1, 2).bool()).backward()
    assert s.grad is not None
    assert s.grad.tolist() == [[pytest.approx(-5), pytest.approx(5)]]


def test_degenerate_batches():
    check_degenerate_batches(contrast)


def test_excluded_pairs_have_no_influence():
    check_excluded_pairs_have_no_influence(contrast)


def test_a_step_helps():
    check_a_step_helps(contrast)
