import math
from functools import partial

import pytest
import torch

from tests.training.losses.contrasts import TAU, batch, double_loop
from training.losses.debiased import debiased
from training.losses.info_nce import info_nce


def row(s: list[float], weights: list[float], prior: float) -> float:
    each = [math.exp(x / TAU) for x in s]
    wanted = [(w, e) for w, e in zip(weights, each, strict=True) if w > 0]
    negatives = [e for w, e in zip(weights, each, strict=True) if w == 0]
    seen = sum(negatives) / max(len(negatives), 1)
    same = sum(w * e for w, e in wanted) / sum(weights)
    g = max((seen - prior * same) / (1 - prior), math.exp(-1 / TAU))
    return -sum(w * math.log(e / (e + len(negatives) * g)) for w, e in wanted) / sum(weights)


@pytest.mark.parametrize("prior", [0.0, 0.1, 0.6])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 3), (7, 9)])
def test_equals_the_double_loop(rows: int, columns: int, prior: float):
    pairs = batch(rows, columns)
    assert float(debiased(*pairs, TAU, prior)) == pytest.approx(
        double_loop(partial(row, prior=prior), *pairs)
    )


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
