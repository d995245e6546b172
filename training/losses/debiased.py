"""Debiased contrastive loss, which corrects for false negatives (Chuang 2020)."""

import math

import torch
from torch import Tensor

from training.losses.info_nce import mean_of_wanting


def debiased(
    cosines: Tensor, wanted: Tensor, excluded: Tensor, temperature: float, prior: float
) -> Tensor:
    """Debiased InfoNCE: -mean_i sum_j w_ij / sum_k w_ik * log(e_ij / (e_ij + N_i g_i)).

    Here e_ij = exp(s_ij / tau), and
    g_i = max((mean_{negatives} e_ik - prior * p_i) / (1 - prior), exp(-1 / tau)) estimates
    the mean of true negatives, where p_i is the weighted mean of e_ij over the positives. With a
    prior of 0 and one positive it equals InfoNCE.

    Args:
        cosines: s of unit embeddings, (B, K).
        wanted: weights w (B, K) as in `info_nce`.
        excluded: bool (B, K); the N_i negatives are neither wanted nor excluded.
        temperature: tau.
        prior: probability that a negative is a false negative, in [0, 1).
    """
    weights = wanted.masked_fill(excluded, 0)
    negative = (weights <= 0) & ~excluded
    # Exponentials are relative to the row's maximum, to avoid overflow.
    logits = (cosines / temperature).masked_fill(excluded, -1e9)
    largest = logits.detach().amax(1, keepdim=True)  # (B, 1)
    each = torch.exp(logits - largest)  # (B, K)
    total = weights.sum(1, keepdim=True).clamp(min=1e-9)
    count = negative.sum(1, keepdim=True)  # (B, 1)
    seen = (each * negative).sum(1, keepdim=True) / count.clamp(min=1)
    same = (each * weights).sum(1, keepdim=True) / total
    floor = torch.exp((-1 / temperature - largest).clamp(max=math.log(1e30)))
    g = torch.maximum((seen - prior * same) / (1 - prior), floor)
    log_likelihood = (logits - largest) - torch.log((each + count * g).clamp(min=1e-30))
    return mean_of_wanting(-(weights * log_likelihood.masked_fill(weights <= 0, 0)).sum(1), weights)
