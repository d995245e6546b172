"""Decoupled contrastive learning: InfoNCE without the positives in the denominator (Yeh 2022)."""

import torch
from torch import Tensor

from training.losses.info_nce import mean_of_wanting


def decoupled(cosines: Tensor, wanted: Tensor, excluded: Tensor, temperature: float) -> Tensor:
    """Decoupled loss: mean_i [log sum_k exp(s_ik / tau) - sum_j w_ij / sum_k w_ik * s_ij / tau].

    The first sum is over the negatives. In contrast to InfoNCE, an easy positive does not weaken
    the gradient of the negatives; the loss may be negative. Arguments like `info_nce`; negatives
    are the pairs that are neither wanted nor excluded. Rows without negatives add nothing.
    """
    weights = wanted.masked_fill(excluded, 0)
    negative = (weights <= 0) & ~excluded
    has_negative = negative.any(1, keepdim=True)  # (B, 1)
    weights = weights * has_negative
    logits = cosines / temperature
    repelled = torch.logsumexp(logits.masked_fill(~negative, -1e9), 1, keepdim=True)  # (B, 1)
    return mean_of_wanting((weights * (repelled - logits)).sum(1), weights)
