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
    """Sampled softmax loss: -mean_e log(exp(t_e) / (exp(t_e) + sum_s exp(c_es))).

    Logits are corrected by the log of the expected count in the sample, which makes the sampled
    softmax an estimate of the full softmax.

    Args:
        true: logit of each masked token (E,).
        sampled: logits of S sampled tokens in the context of each masked one, (E, S).
        log_expected_true: log of the expected count of the masked tokens in a sample, (E,).
        log_expected_sampled: log of the expected count of the sampled tokens, (S,).
        accidental: bool (E, S), sampled tokens that are no negatives.

    Returns:
        A scalar; 0 without masked tokens.
    """
    if not len(true):
        return true.sum() * 0
    right = (true - log_expected_true).unsqueeze(1)  # (E, 1)
    wrong = (sampled - log_expected_sampled).masked_fill(accidental, -1e9)  # (E, S)
    return (torch.cat([right, wrong], 1).logsumexp(1) - right.squeeze(1)).mean()
