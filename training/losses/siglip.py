"""Pairwise sigmoid loss (SigLIP, Zhai 2023)."""

from torch import Tensor
from torch.nn import functional


def siglip(
    cosines: Tensor, wanted: Tensor, excluded: Tensor, scale: Tensor, bias: Tensor
) -> Tensor:
    """Binary cross-entropy of sigmoid(scale * s_ij + bias), summed over pairs, per row.

    -1/R sum_ij [w_ij log sigmoid(x_ij) + (1 - w_ij) log sigmoid(-x_ij)],  x_ij = scale s_ij + bias

    Args:
        cosines: s of unit embeddings, (B, K).
        wanted: targets w (B, K), clamped to 1.
        excluded: bool (B, K), pairs to ignore.
        scale: learned scalar, initially 1 / temperature.
        bias: learned scalar, initially about -10, since most pairs are negatives.

    Returns:
        A scalar, the mean over the R rows with any positive; 0 without any.
    """
    targets = wanted.masked_fill(excluded, 0).clamp(max=1)
    rows = (targets > 0).any(1, keepdim=True)  # (B, 1)
    logits = scale * cosines + bias
    per_pair = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (per_pair * (rows & ~excluded)).sum() / rows.sum().clamp(min=1)
