"""What every contrast of pairs must do."""

import pytest
import torch

from tests.training.losses.contrasts import CONTRASTS, Contrast, batch

pytestmark = pytest.mark.parametrize("contrast", CONTRASTS.values(), ids=CONTRASTS)


def test_degenerate_batches(contrast: Contrast):
    """Nothing wanted, all excluded, no rows, no negatives: finite, with a finite gradient."""
    nothing = torch.zeros(3, 4)
    for rows, wanted, excluded in (
        (3, nothing, nothing.bool()),
        (3, nothing + 1, ~nothing.bool()),
        (3, nothing + 1, nothing.bool()),
        (0, nothing[:0], nothing[:0].bool()),
    ):
        cosines = torch.linspace(-1, 1, 12).reshape(3, 4)[:rows].clone().requires_grad_()
        loss = contrast(cosines, wanted, excluded)
        loss.backward()
        assert cosines.grad is not None
        assert torch.isfinite(loss)
        assert torch.isfinite(cosines.grad).all()
        if not wanted.any() or bool(excluded.all()):
            assert loss.item() == 0
            assert cosines.grad.abs().sum() == 0


def test_excluded_pairs_have_no_influence(contrast: Contrast):
    """Neither their cosine nor their weight."""
    cosines, wanted, excluded = batch(6, 8)
    one = contrast(cosines, wanted, excluded)
    other = contrast(
        cosines.masked_fill(excluded, 0.9), wanted.masked_fill(excluded, 7.0), excluded
    )
    torch.testing.assert_close(one, other)


def test_a_step_helps(contrast: Contrast):
    """A small step against the gradient lowers the loss; the type is kept."""
    cosines, wanted, excluded = batch(5, 7)
    cosines = cosines.float().requires_grad_()
    loss = contrast(cosines, wanted.float(), excluded)
    loss.backward()
    assert loss.dtype == torch.float32
    assert cosines.grad is not None
    moved = cosines.detach() - 1e-3 * cosines.grad
    assert contrast(moved, wanted.float(), excluded) < loss
