import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from training.losses.info_nce import info_nce

TAU = 0.2


def batch(rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor]:
    """Random cosines, sparse weights and exclusions, (rows, columns) each, in double precision."""
    generator = torch.Generator().manual_seed(rows)
    one, other = (
        normalize(torch.randn(n, 5, generator=generator, dtype=torch.float64), dim=1)
        for n in (rows, columns)
    )
    wanted = torch.rand(rows, columns, generator=generator, dtype=torch.float64)
    wanted[wanted < 0.6] = 0
    excluded = torch.rand(rows, columns, generator=generator) < 0.2
    return one @ other.T, wanted, excluded


def double_loop(cosines: Tensor, wanted: Tensor, excluded: Tensor) -> float:
    """The formula, row by row; rows without a positive are left out."""
    found = []
    for scores, weights, out in zip(cosines, wanted, excluded, strict=True):
        s, w = scores[~out].tolist(), weights[~out].tolist()
        if any(w):
            normaliser = math.log(sum(math.exp(x / TAU) for x in s))
            found.append(
                -sum(y / sum(w) * (x / TAU - normaliser) for x, y in zip(s, w, strict=True))
            )
    return sum(found) / len(found) if found else 0.0


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 2), (7, 9)])
def test_equals_the_double_loop(rows: int, columns: int):
    pairs = batch(rows, columns)
    assert float(info_nce(*pairs, TAU)) == pytest.approx(double_loop(*pairs))


def test_one_positive_is_plain_cross_entropy():
    s, _, excluded = batch(4, 6)
    loss = info_nce(s, torch.eye(4, 6, dtype=s.dtype), excluded.fill_(False), 0.1)
    assert float(loss) == pytest.approx(float(cross_entropy(s / 0.1, torch.arange(4))))


@pytest.mark.slow
def test_only_the_proportion_of_the_weights_counts():
    s, wanted, excluded = batch(6, 6)
    one, other = (info_nce(s, weights, excluded, TAU) for weights in (wanted, 5 * wanted))
    torch.testing.assert_close(one, other)


def test_degenerate_batches():
    """Nothing wanted, all excluded, no rows, no negatives: finite, with a finite gradient."""
    nothing = torch.zeros(3, 4)
    for rows, wanted, excluded in (
        (3, nothing, nothing.bool()),
        (3, nothing + 1, ~nothing.bool()),
        (3, nothing + 1, nothing.bool()),
        (0, nothing[:0], nothing[:0].bool()),
    ):
        cosines = torch.linspace(-1, 1, 12).reshape(3, 4)[:rows].clone().requires_grad_()
        loss = info_nce(cosines, wanted, excluded, TAU)
        loss.backward()
        assert cosines.grad is not None
        assert torch.isfinite(loss)
        assert torch.isfinite(cosines.grad).all()
        if not wanted.any() or bool(excluded.all()):
            assert loss.item() == 0
            assert cosines.grad.abs().sum() == 0


@pytest.mark.slow
def test_excluded_pairs_have_no_influence():
    """Neither their cosine nor their weight."""
    cosines, wanted, excluded = batch(6, 8)
    one = info_nce(cosines, wanted, excluded, TAU)
    other = info_nce(
        cosines.masked_fill(excluded, 0.9), wanted.masked_fill(excluded, 7.0), excluded, TAU
    )
    torch.testing.assert_close(one, other)


def test_a_step_helps():
    """A small step against the gradient lowers the loss; the type is kept."""
    cosines, wanted, excluded = batch(5, 7)
    cosines = cosines.float().requires_grad_()
    loss = info_nce(cosines, wanted.float(), excluded, TAU)
    loss.backward()
    assert loss.dtype == torch.float32
    assert cosines.grad is not None
    moved = cosines.detach() - 1e-3 * cosines.grad
    assert info_nce(moved, wanted.float(), excluded, TAU) < loss
