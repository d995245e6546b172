"""Decoupled contrastive learning: InfoNCE without the positives in the denominator (Yeh 2022)."""

import torch
from torch import Tensor

from training.losses.info_nce import mean_of_wanting


def decoupled(cosines: Tensor, wanted: Tensor, excluded: Tensor, temperature: float) -> Tensor:
    """mean_i [log sum_{negatives k} exp(s_ik / tau) - sum_j w_ij / sum_k w_ik * s_ij / tau].

    The coupling of InfoNCE, by which an easy positive weakens the gradient of the negatives, is
    gone; so the loss may be negative. Arguments as in `info_nce`; negatives are the pairs that are
    neither wanted nor excluded. A row without negatives adds nothing.
    """
    weights = wanted.masked_fill(excluded, 0)
    negative = (weights <= 0) & ~excluded
    has_negative = negative.any(1, keepdim=True)  # (B, 1)
    weights = weights * has_negative
    logits = cosines / temperature
    repelled = torch.logsumexp(logits.masked_fill(~negative, -1e9), 1, keepdim=True)  # (B, 1)
    return mean_of_wanting((weights * (repelled - logits)).sum(1), weights)
