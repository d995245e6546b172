import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from tests.training.losses.contrasts import CONTRASTS, TAU, batch, double_loop
from training.losses.info_nce import info_nce

contrast = CONTRASTS["info_nce"]


def row(s: list[float], weights: list[float]) -> float:
    normaliser = math.log(sum(math.exp(x / TAU) for x in s))
    return -sum(w / sum(weights) * (x / TAU - normaliser) for x, w in zip(s, weights, strict=True))


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 2), (7, 9)])
def test_equals_the_double_loop(rows: int, columns: int):
    pairs = batch(rows, columns)
    assert float(info_nce(*pairs, TAU)) == pytest.approx(double_loop(row, *pairs))


def test_one_positive_is_plain_cross_entropy():
    s, _, excluded = batch(4, 6)
    loss = info_nce(s, torch.eye(4, 6, dtype=s.dtype), excluded.fill_(False), 0.1)
    assert float(loss) == pytest.approx(float(cross_entropy(s / 0.1, torch.arange(4))))


def test_only_the_proportion_of_the_weights_counts():
    s, wanted, excluded = batch(6, 6)
    torch.testing.assert_close(contrast(s, 5 * wanted, excluded), contrast(s, wanted, excluded))
