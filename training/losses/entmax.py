"""Sparse contrastive loss by 1.5-entmax: distant negatives have no gradient (Peters 2019).

It is the Fenchel-Young loss of 1.5-entmax (Blondel 2020), between those of softmax (InfoNCE) and
sparsemax.
"""

import torch
from torch import Tensor

from training.losses.info_nce import mean_of_wanting

ALPHA = 1.5


def entmax(cosines: Tensor, wanted: Tensor, excluded: Tensor, temperature: float) -> Tensor:
    """Entmax loss: mean_i [(p_i - y_i) x_i - W(p_i) + W(y_i)] with p = 1.5-entmax(x).

    Here x = s / tau, y = w / sum w, and W(p) = 4/3 (sum_j p_j^1.5 - 1) is the negative Tsallis
    entropy. The gradient in x_i is p_i - y_i. Arguments like `info_nce`.
    """
    weights = wanted.masked_fill(excluded, 0)
    total = weights.sum(1, keepdim=True)
    share = weights / total.clamp(min=1e-9)  # y
    logits = cosines / temperature
    with torch.no_grad():  # p is a stationary point, so its gradient vanishes
        likely = entmax_15(logits.masked_fill(excluded, -1e9))
    per_row = ((likely - share) * logits).sum(1) - _entropy(likely) + _entropy(share)
    return mean_of_wanting(per_row * total.squeeze(1), weights)


def entmax_15(logits: Tensor) -> Tensor:
    """1.5-entmax of each row (B, K): max(x_j / 2 - t, 0)^2, with t such that the row sums to 1.

    Exact, by sorting: algorithm 2 of Peters, Niculae & Martins 2019.
    """
    if not logits.numel():
        return logits
    x = (logits - logits.amax(1, keepdim=True)) / 2
    falling = x.sort(1, descending=True).values  # (B, K)
    count = torch.arange(1, x.shape[1] + 1, dtype=x.dtype, device=x.device)
    mean = falling.cumsum(1) / count
    spread = (falling**2).cumsum(1) - count * mean**2
    threshold = mean - ((1 - spread) / count).clamp(min=0).sqrt()  # if the first so many count
    kept = (threshold <= falling).sum(1, keepdim=True)
    return (x - threshold.gather(1, kept - 1)).clamp(min=0) ** 2


def _entropy(p: Tensor) -> Tensor:
    """W of each row (B, K) -> (B,)."""
    return ((p**ALPHA).sum(1) - 1) / (ALPHA * (ALPHA - 1))
