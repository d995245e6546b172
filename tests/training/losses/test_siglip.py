import math

import pytest
import torch

from tests.training.losses.contrasts import (
    batch,
    check_a_step_helps,
    check_degenerate_batches,
    check_excluded_pairs_have_no_influence,
)
from training.losses.siglip import siglip

SCALE, BIAS = torch.tensor(10.0), torch.tensor(-4.0)


def contrast(s: torch.Tensor, wanted: torch.Tensor, excluded: torch.Tensor) -> torch.Tensor:
    return siglip(s, wanted, excluded, SCALE, BIAS)


def naive(s: torch.Tensor, wanted: torch.Tensor, excluded: torch.Tensor) -> float:
    rows = []
    for i in range(s.shape[0]):
        allowed = [j for j in range(s.shape[1]) if not excluded[i, j]]
        if not any(wanted[i, j] > 0 for j in allowed):
            continue
        total = 0.0
        for j in allowed:
            chance = 1 / (1 + math.exp(-(10 * float(s[i, j]) - 4)))
            w = float(wanted[i, j])
            total -= w * math.log(chance) + (1 - w) * math.log(1 - chance)
        rows.append(total)
    return sum(rows) / len(rows) if rows else 0.0


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 3), (7, 9)])
def test_equals_the_double_loop(rows: int, columns: int):
    pairs = batch(rows, columns)
    assert float(contrast(*pairs)) == pytest.approx(naive(*pairs))


def test_scale_and_bias_have_a_gradient():
    scale, bias = SCALE.clone().requires_grad_(), BIAS.clone().requires_grad_()
    siglip(*batch(4, 4), scale, bias).backward()
    assert scale.grad is not None
    assert bias.grad is not None
    assert abs(float(scale.grad)) > 0
    assert abs(float(bias.grad)) > 0


def test_degenerate_batches():
    check_degenerate_batches(contrast)


def test_excluded_pairs_have_no_influence():
    check_excluded_pairs_have_no_influence(contrast)


def test_a_step_helps():
    check_a_step_helps(contrast)
