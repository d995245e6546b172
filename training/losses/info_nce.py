"""InfoNCE with weighted positives (van den Oord 2018; Khosla 2020, softened)."""

import torch
from torch import Tensor


def info_nce(cosines: Tensor, wanted: Tensor, excluded: Tensor, temperature: float) -> Tensor:
    """InfoNCE: -mean_i sum_j w_ij / sum_k w_ik * log softmax_j(s_ij / tau).

    Args:
        cosines: s of unit embeddings, (B, K).
        wanted: weights w (B, K), non-negative; those of excluded pairs are ignored.
        excluded: bool (B, K), pairs that are neither positives nor negatives (self, duplicates,
            likely false negatives).
        temperature: tau.

    Returns:
        A scalar, the mean over the rows with any positive; 0 without any.
    """
    weights = wanted.masked_fill(excluded, 0)
    logits = (cosines / temperature).masked_fill(excluded, -1e9)
    log_likelihood = torch.log_softmax(logits, 1).masked_fill(excluded, 0)
    per_row, total = -(weights * log_likelihood).sum(1), weights.sum(1)  # (B,) each
    rows = (total > 0).to(per_row.dtype)
    return (per_row / total.clamp(min=1e-9) * rows).sum() / rows.sum().clamp(min=1)
