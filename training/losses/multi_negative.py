"""Softmax over one positive and K negatives of its own (PTUM, Wu 2020)."""

import torch
from torch import Tensor
from torch.nn import functional


def multi_negative_softmax(positive: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Softmax loss: -mean_i log(exp(p_i / tau) / (exp(p_i / tau) + sum_k exp(n_ik / tau))).

    Args:
        positive: similarity to the positive, (B,).
        negatives: similarities to K negatives, (B, K); with K = 0 the loss is 0.
        temperature: tau.

    Returns:
        A scalar; 0 for an empty batch.
    """
    if not negatives.numel():
        return positive.sum() * 0
    logits = torch.cat([positive.unsqueeze(1), negatives], 1) / temperature  # (B, 1 + K)
    return functional.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))
