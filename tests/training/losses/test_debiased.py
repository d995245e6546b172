import math

import pytest
import torch

from tests.training.losses.contrasts import (
    batch,
    check_a_step_helps,
    check_degenerate_batches,
    check_excluded_pairs_have_no_influence,
)
from training.losses.debiased import debiased
from training.losses.info_nce import info_nce


def contrast(s: torch.Tensor, wanted: torch.Tensor, excluded: torch.Tensor) -> torch.Tensor:
    return debiased(s, wanted, excluded, 0.2, 0.1)


def naive(
    s: torch.Tensor, wanted: torch.Tensor, excluded: torch.Tensor, tau: float, prior: float
) -> float:
    rows = []
    for i in range(s.shape[0]):
        allowed = [j for j in range(s.shape[1]) if not excluded[i, j]]
        weight = {j: float(wanted[i, j]) for j in allowed if wanted[i, j] > 0}
        if not weight:
            continue
        each = {j: math.exp(float(s[i, j]) / tau) for j in allowed}
        negatives = [each[j] for j in allowed if j not in weight]
        seen = sum(negatives) / max(len(negatives), 1)
        same = sum(w * each[j] for j, w in weight.items()) / sum(weight.values())
        g = max((seen - prior * same) / (1 - prior), math.exp(-1 / tau))
        likelihood = {j: each[j] / (each[j] + len(negatives) * g) for j in weight}
        rows.append(
            -sum(w * math.log(likelihood[j]) for j, w in weight.items()) / sum(weight.values())
        )
    return sum(rows) / len(rows) if rows else 0.0


@pytest.mark.parametrize("prior", [0.0, 0.1, 0.6])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 3), (7, 9)])
def test_equals_the_double_loop(rows: int, columns: int, prior: float):
    pairs = batch(rows, columns)
    assert float(debiased(*pairs, 0.2, prior)) == pytest.approx(naive(*pairs, 0.2, prior))


def test_without_a_prior_and_with_one_positive_it_is_info_nce():
    s, _, excluded = batch(4, 6)
    wanted = torch.eye(4, 6, dtype=s.dtype)
    excluded &= wanted == 0
    expected = info_nce(s, wanted, excluded, 0.2)
    torch.testing.assert_close(debiased(s, wanted, excluded, 0.2, 0.0), expected)


def test_stays_finite_at_a_low_temperature():
    s = torch.tensor([[1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]], requires_grad=True)
    loss = debiased(s, torch.eye(2, 3).flip(0), torch.zeros(2, 3).bool(), 0.01, 0.1)
    loss.backward()
    assert s.grad is not None
    assert torch.isfinite(s.grad).all()


def test_degenerate_batches():
    check_degenerate_batches(contrast)


def test_excluded_pairs_have_no_influence():
    check_excluded_pairs_have_no_influence(contrast)


def test_a_step_helps():
    check_a_step_helps(contrast)
