"""InfoNCE with several weighted positives per row (supervised contrast, Khosla 2020, softened)."""

import torch
from torch import Tensor


def weighted_info_nce(
    embeddings: Tensor, wanted: Tensor, excluded: Tensor, temperature: float
) -> Tensor:
    """-mean_i sum_j w_ij / sum_k w_ik * log softmax_j(z_i . z_j / tau) over the pairs not excluded.

    Args:
        embeddings: unit rows z (B, D).
        wanted: weights w (B, B), not negative; those of excluded pairs are not read.
        excluded: bool (B, B), pairs that are neither positives nor negatives (self, duplicates,
            likely false negatives).
        temperature: tau.

    Returns:
        A scalar, the mean over the rows that want anything; 0 when none does.
    """
    weights = wanted.masked_fill(excluded, 0)
    total = weights.sum(1)  # (B,)
    logits = (embeddings @ embeddings.T / temperature).masked_fill(excluded, -1e9)
    log_likelihood = torch.log_softmax(logits, 1).masked_fill(excluded, 0)
    per_row = -(weights * log_likelihood).sum(1) / total.clamp(min=1e-9)
    rows = (total > 0).to(per_row.dtype)
    return (per_row * rows).sum() / rows.sum().clamp(min=1)
