import math

import pytest
import torch
from torch.nn.functional import normalize

from training.losses.weighted_info_nce import weighted_info_nce


def naive(z: torch.Tensor, wanted: torch.Tensor, excluded: torch.Tensor, tau: float) -> float:
    n, rows = len(z), []
    for i in range(n):
        allowed = [j for j in range(n) if not excluded[i, j]]
        weight = sum(float(wanted[i, j]) for j in allowed)
        if weight == 0:
            continue
        normaliser = sum(math.exp(float(z[i] @ z[j]) / tau) for j in allowed)
        rows.append(
            -sum(
                float(wanted[i, j]) / weight * (float(z[i] @ z[j]) / tau - math.log(normaliser))
                for j in allowed
            )
        )
    return sum(rows) / len(rows) if rows else 0.0


def batch(n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(n)
    z = normalize(torch.randn(n, 5, generator=generator, dtype=torch.float64), dim=1)
    wanted = torch.rand(n, n, generator=generator, dtype=torch.float64)
    wanted[wanted < 0.6] = 0
    excluded = torch.rand(n, n, generator=generator) < 0.2
    excluded.fill_diagonal_(True)
    return z, wanted, excluded


@pytest.mark.parametrize("n", [2, 3, 9])
def test_equals_the_double_loop(n: int):
    z, wanted, excluded = batch(n)
    expected = naive(z, wanted, excluded, 0.2)
    assert float(weighted_info_nce(z, wanted, excluded, 0.2)) == pytest.approx(expected)


def test_one_positive_of_weight_one_is_plain_cross_entropy():
    z, _, _ = batch(4)
    target = torch.tensor([1, 0, 3, 2])
    wanted = torch.nn.functional.one_hot(target, 4).double()
    excluded = torch.eye(4, dtype=torch.bool)
    logits = (z @ z.T / 0.1).masked_fill(excluded, -1e9)
    expected = torch.nn.functional.cross_entropy(logits, target)
    assert float(weighted_info_nce(z, wanted, excluded, 0.1)) == pytest.approx(float(expected))


def test_only_the_proportion_of_the_weights_counts():
    z, wanted, excluded = batch(6)
    one = weighted_info_nce(z, wanted, excluded, 0.1)
    assert float(weighted_info_nce(z, 5 * wanted, excluded, 0.1)) == pytest.approx(float(one))


@pytest.mark.parametrize("everything_excluded", [True, False])
def test_a_batch_that_wants_nothing_is_zero_with_a_finite_gradient(everything_excluded: bool):
    z, wanted, excluded = batch(3)
    z.requires_grad_()
    if everything_excluded:
        excluded = torch.ones_like(excluded)
    else:
        wanted = torch.zeros_like(wanted)
    loss = weighted_info_nce(z, wanted, excluded, 0.1)
    loss.backward()
    assert loss.item() == 0
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()


def test_excluded_pairs_have_no_influence():
    z, wanted, excluded = batch(5)
    excluded[0, 4] = excluded[4, 0] = True
    changed = wanted.clone()
    changed[0, 4] = changed[4, 0] = 100
    one = weighted_info_nce(z, wanted, excluded, 0.1)
    assert float(weighted_info_nce(z, changed, excluded, 0.1)) == pytest.approx(float(one))


def test_keeps_the_type():
    z, wanted, excluded = batch(4)
    assert weighted_info_nce(z.float(), wanted.float(), excluded, 0.1).dtype == torch.float32
