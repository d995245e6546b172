"""InfoNCE between two views, both ways (van den Oord 2018; Chen 2020)."""

import torch
from torch import Tensor
from torch.nn import functional


def symmetric_info_nce(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Mean cross-entropy of finding row i of one view among all rows of the other.

    Args:
        first: unit embeddings (B, D) of one view of B streamers.
        second: those of another view (B, D) of the same streamers, in the same order.
        temperature: tau.

    Returns:
        A scalar; 0 for an empty batch.
    """
    if not len(first):
        return (first.sum() + second.sum()) * 0
    logits = first @ second.T / temperature  # (B, B)
    target = torch.arange(len(first), device=first.device)
    return (
        functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)
    ) / 2
