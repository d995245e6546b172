"""GradCache: the gradient of a large batch in the memory of a small one (Gao 2021).

A contrastive loss needs the embeddings of the whole batch but not the encoder's activations. The
encoder therefore runs chunk by chunk without keeping activations; in the backward pass each chunk
is recomputed with the same random numbers.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from training.features.bags import Bags


def embed_in_chunks(embed: Callable[[Bags], Tensor], bags: Bags, chunk_size: int) -> Tensor:
    """Embed all rows (R, D) in chunks, with the gradient of a single pass.

    Args:
        embed: row-wise embedding function.
        bags: R rows.
        chunk_size: rows per chunk; 0 = one pass that keeps its activations.
    """
    if chunk_size <= 0 or len(bags) <= chunk_size:
        return embed(bags)
    # `checkpoint` saves random states by the devices of tensor arguments; bags are no tensors.
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
