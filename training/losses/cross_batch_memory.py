"""Cross-batch memory: embeddings of past batches serve as more negatives (XBM, Wang 2020).

The encoder changes slowly, so that embeddings of some steps ago are still good negatives; they have
no gradient.
"""

import torch
from torch import Tensor, nn

_EMPTY = -1


class CrossBatchMemory(nn.Module):
    """A queue of the last embeddings; its state is saved and resumed like weights."""

    def __init__(self, size: int, dim: int) -> None:
        """An empty queue.

        Args:
            size: how many embeddings it holds, > 0.
            dim: their width D.
        """
        super().__init__()
        self.vectors: Tensor
        self.rows: Tensor
        self.next: Tensor
        self.register_buffer("vectors", torch.zeros(size, dim))
        self.register_buffer("rows", torch.full((size,), _EMPTY))
        self.register_buffer("next", torch.zeros((), dtype=torch.long))

    def held(self) -> tuple[Tensor, Tensor]:
        """The embeddings (M, D) and whose they are, data set rows (M,); M <= size."""
        filled = self.rows != _EMPTY
        return self.vectors[filled], self.rows[filled]

    @torch.no_grad()
    def add(self, vectors: Tensor, rows: Tensor) -> None:
        """Put embeddings (B, D) of streamers (B,) in, in the place of the oldest."""
        size = len(self.rows)
        vectors, rows = vectors[-size:], rows[-size:]
        places = (self.next + torch.arange(len(rows), device=rows.device)) % size
        self.vectors[places] = vectors.detach().to(self.vectors.dtype)
        self.rows[places] = rows
        self.next.copy_((self.next + len(rows)) % size)
