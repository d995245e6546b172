import math

import pytest

from tests.training.losses.contrasts import BIAS, CONTRASTS, SCALE, batch, double_loop
from training.losses.siglip import siglip


def row(s: list[float], weights: list[float]) -> float:
    total = 0.0
    for x, w in zip(s, weights, strict=True):
        chance = 1 / (1 + math.exp(-(10 * x - 4)))
        total -= w * math.log(chance) + (1 - w) * math.log(1 - chance)
    return total


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 3), (7, 9)])
def test_equals_the_double_loop(rows: int, columns: int):
    pairs = batch(rows, columns)
    assert float(CONTRASTS["siglip"](*pairs)) == pytest.approx(double_loop(row, *pairs))


def test_scale_and_bias_have_a_gradient():
    scale, bias = SCALE.clone().requires_grad_(), BIAS.clone().requires_grad_()
    siglip(*batch(4, 4), scale, bias).backward()
    assert scale.grad is not None
    assert bias.grad is not None
    assert abs(float(scale.grad)) > 0
    assert abs(float(bias.grad)) > 0
