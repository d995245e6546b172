"""GradCache: the gradient of a large batch in the memory of a small one (Gao 2021).

A contrast needs the embeddings of the whole batch, but not what the encoder computed on the way. So
the encoder runs chunk by chunk without keeping anything; when the gradient of the embeddings is
known, each chunk is computed again, with the same random numbers, and hands its part on.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from training.features.bags import Bags


def embed_in_chunks(embed: Callable[[Bags], Tensor], bags: Bags, chunk_size: int) -> Tensor:
    """What `embed` makes of all rows (R, D), with the gradient as if at once.

    Args:
        embed: rows to embeddings, each row on its own.
        bags: R rows.
        chunk_size: rows at a time; 0 = all, keeping what the gradient needs.
    """
    if chunk_size <= 0 or len(bags) <= chunk_size:
        return embed(bags)
    # Random states are kept of the devices of tensor arguments, and bags are no tensors.
    device = torch.empty(0, device="cuda" if torch.cuda.is_initialized() else "cpu")
    chunks = [
        checkpoint(
            lambda rows, _: embed(bags.take(rows)),
            np.arange(start, min(start + chunk_size, len(bags))),
            device,
            use_reentrant=False,
        )
        for start in range(0, len(bags), chunk_size)
    ]
    return torch.cat(chunks)  # (R, D)
