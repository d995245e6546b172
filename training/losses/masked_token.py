"""Masked-token prediction by sampled softmax (BERT, Devlin 2019; Jean 2015 for the sampling)."""

import torch
from torch import Tensor


def masked_token_prediction(
    true: Tensor,
    sampled: Tensor,
    log_expected_true: Tensor,
    log_expected_sampled: Tensor,
    accidental: Tensor,
) -> Tensor:
    """-mean_e log(exp(t_e) / (exp(t_e) + sum_s exp(c_es))), both corrected for how they are drawn.

    Subtracting the logarithm of how often a token is expected in the sample makes the sampled
    softmax an estimate of the one over the whole vocabulary.

    Args:
        true: logit of each masked token (E,).
        sampled: logits of S sampled tokens in the context of each masked one, (E, S).
        log_expected_true: log of the expected count of the masked tokens in a sample, (E,).
        log_expected_sampled: the same of the sampled ones, (S,).
        accidental: bool (E, S), sampled tokens that are no negatives: masked or shown themselves.

    Returns:
        A scalar; 0 when nothing is masked.
    """
    if not len(true):
        return true.sum() * 0
    right = (true - log_expected_true).unsqueeze(1)  # (E, 1)
    wrong = (sampled - log_expected_sampled).masked_fill(accidental, -1e9)  # (E, S)
    return (torch.cat([right, wrong], 1).logsumexp(1) - right.squeeze(1)).mean()
