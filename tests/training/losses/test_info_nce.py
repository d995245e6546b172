import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from tests.training.losses.contrasts import (
    batch,
    check_a_step_helps,
    check_degenerate_batches,
    check_excluded_pairs_have_no_influence,
)
from training.losses.info_nce import info_nce


def contrast(s: torch.Tensor, wanted: torch.Tensor, excluded: torch.Tensor) -> torch.Tensor:
    return info_nce(s, wanted, excluded, 0.2)


def naive(s: torch.Tensor, wanted: torch.Tensor, excluded: torch.Tensor, tau: float) -> float:
    rows = []
    for i in range(s.shape[0]):
        allowed = [j for j in range(s.shape[1]) if not excluded[i, j]]
        weight = sum(float(wanted[i, j]) for j in allowed)
        if weight == 0:
            continue
        normaliser = sum(math.exp(float(s[i, j]) / tau) for j in allowed)
        rows.append(
            -sum(
                float(wanted[i, j]) / weight * (float(s[i, j]) / tau - math.log(normaliser))
                for j in allowed
            )
        )
    return sum(rows) / len(rows) if rows else 0.0


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 2), (7, 9)])
def test_equals_the_double_loop(rows: int, columns: int):
    pairs = batch(rows, columns)
    assert float(info_nce(*pairs, 0.2)) == pytest.approx(naive(*pairs, 0.2))


def test_one_positive_is_plain_cross_entropy():
    s, _, excluded = batch(4, 6)
    loss = info_nce(s, torch.eye(4, 6, dtype=s.dtype), excluded.fill_(False), 0.1)
    assert float(loss) == pytest.approx(float(cross_entropy(s / 0.1, torch.arange(4))))


def test_only_the_proportion_of_the_weights_counts():
    s, wanted, excluded = batch(6, 6)
    torch.testing.assert_close(contrast(s, 5 * wanted, excluded), contrast(s, wanted, excluded))


def test_degenerate_batches():
    check_degenerate_batches(contrast)


def test_excluded_pairs_have_no_influence():
    check_excluded_pairs_have_no_influence(contrast)


def test_a_step_helps():
    check_a_step_helps(contrast)
