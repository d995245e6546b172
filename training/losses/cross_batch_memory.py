"""Cross-batch memory: embeddings of past batches serve as more negatives (XBM, Wang 2020).

The encoder changes slowly, so embeddings of recent steps are still good negatives. They have no
gradient.
"""

import torch
from torch import Tensor, nn

_EMPTY = -1


class CrossBatchMemory(nn.Module):
    """Queue of recent embeddings; its state is saved and restored like weights."""

    def __init__(self, size: int, dim: int) -> None:
        """Create an empty queue.

        Args:
            size: capacity in embeddings, > 0.
            dim: embedding width D.
        """
        super().__init__()
        self.vectors: Tensor
        self.rows: Tensor
        self.next: Tensor
        self.register_buffer("vectors", torch.zeros(size, dim))
        self.register_buffer("rows", torch.full((size,), _EMPTY))
        self.register_buffer("next", torch.zeros((), dtype=torch.long))

    def held(self) -> tuple[Tensor, Tensor]:
        """Stored embeddings (M, D) and their data set rows (M,); M <= size."""
        filled = self.rows != _EMPTY
        return self.vectors[filled], self.rows[filled]

    @torch.no_grad()
    def add(self, vectors: Tensor, rows: Tensor) -> None:
        """Add embeddings (B, D) of data set rows (B,), replacing the oldest."""
        size = len(self.rows)
        vectors, rows = vectors[-size:], rows[-size:]
        places = (self.next + torch.arange(len(rows), device=rows.device)) % size
        self.vectors[places] = vectors.detach().to(self.vectors.dtype)
        self.rows[places] = rows
        self.next.copy_((self.next + len(rows)) % size)
