"""Pairwise sigmoid loss: every pair is a question of its own (SigLIP, Zhai 2023)."""

from torch import Tensor
from torch.nn import functional


def siglip(
    cosines: Tensor, wanted: Tensor, excluded: Tensor, scale: Tensor, bias: Tensor
) -> Tensor:
    """Sum over pairs of the binary cross-entropy of sigmoid(scale * s_ij + bias), by rows.

    -1/R sum_ij [w_ij log sigmoid(x_ij) + (1 - w_ij) log sigmoid(-x_ij)],  x_ij = scale s_ij + bias

    Args:
        cosines: s of unit embeddings, (B, K).
        wanted: targets w (B, K), weights above 1 count as 1.
        excluded: bool (B, K), pairs that are left out.
        scale: learned scalar, 1 / temperature at the start.
        bias: learned scalar, about -10 at the start, since most pairs are negatives.

    Returns:
        A scalar, the mean over the R rows that want anything; 0 when none does.
    """
    targets = wanted.masked_fill(excluded, 0).clamp(max=1)
    rows = (targets > 0).any(1, keepdim=True)  # (B, 1)
    logits = scale * cosines + bias
    per_pair = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (per_pair * (rows & ~excluded)).sum() / rows.sum().clamp(min=1)
