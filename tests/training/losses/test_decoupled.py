import math

import pytest
import torch

from tests.training.losses.contrasts import CONTRASTS, TAU, batch, double_loop
from training.losses.decoupled import decoupled

contrast = CONTRASTS["decoupled"]


def row(s: list[float], weights: list[float]) -> float | None:
    negatives = [x / TAU for x, w in zip(s, weights, strict=True) if w == 0]
    if not negatives:
        return None
    repelled = math.log(sum(math.exp(x) for x in negatives))
    pulls = (w / sum(weights) * (repelled - x / TAU) for x, w in zip(s, weights, strict=True))
    return sum(pulls)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 3), (7, 9)])
def test_equals_the_double_loop(rows: int, columns: int):
    pairs = batch(rows, columns)
    assert float(decoupled(*pairs, TAU)) == pytest.approx(double_loop(row, *pairs))


def test_the_pull_of_a_positive_does_not_fade_when_it_is_easy():
    s = torch.tensor([[0.99, -0.9]], dtype=torch.float64, requires_grad=True)
    contrast(s, torch.tensor([[1.0, 0.0]]).double(), torch.zeros(1, 2).bool()).backward()
    assert s.grad is not None
    assert s.grad.tolist() == [[pytest.approx(-5), pytest.approx(5)]]
