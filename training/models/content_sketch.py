"""A fixed sketch of what a streamer shows, by which near-duplicates are found."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from model_export.contract.vocabulary import Vocabulary

FIXED_SEED = 1
"""Of the parts that are never trained; the same for every model."""
SAME_PIECE_DISTANCE = 0.2
"""Between unit vectors: pieces much nearer are the same to the sketch, much farther are unlike."""
VECTOR_SHARE = 0.5
"""Length of the vectors' part of the sketch beside the unit part of the tokens."""


def safe_normalise(x: Tensor) -> Tensor:
    """X / sqrt(sum x^2 + 1e-6) over the last axis: finite, also in gradient, for an empty row."""
    return x * torch.rsqrt((x * x).sum(-1, keepdim=True) + 1e-6)


class ContentSketch(nn.Module):
    """A fixed, untrained sketch (B, C): near-duplicates have a high cosine, whatever was learned.

    Tokens: each id, the buckets of unknown ones too, has a random sign vector, so the dot product
    of two sketches is that of their weighted token vectors plus noise of about 1 / sqrt(C)
    (Achlioptas 2003). Ready-made vectors: random Fourier features (Rahimi & Recht 2007) of a
    narrow Gaussian kernel, summed over the pieces, so the dot product counts the pieces that both
    show, not how alike their styles are. A shared language is no shared content and is left out.
    """

    def __init__(self, vocabulary: Vocabulary, dim: int) -> None:
        super().__init__()
        rng = np.random.default_rng(FIXED_SEED)
        signs = rng.integers(0, 2, (vocabulary.size, dim), np.int8) * 2 - 1
        self.signs: Tensor
        self.register_buffer("signs", torch.from_numpy(signs.astype(np.int8)))
        for i, space in enumerate(vocabulary.spaces):
            frequency = rng.standard_normal((space.width, dim)) / SAME_PIECE_DISTANCE
            phase = rng.uniform(0, 2 * math.pi, dim)
            self.register_buffer(f"frequency_{i}", torch.from_numpy(frequency.astype(np.float32)))
            self.register_buffer(f"phase_{i}", torch.from_numpy(phase.astype(np.float32)))

    def forward(self, ids: Tensor, weights: Tensor, vectors: Sequence[Tensor]) -> Tensor:
        """The sketch of tokens (B, L), their weights (B, L), and (B, P, W), (B, P) per space."""
        signs = self.signs[ids].to(weights.dtype)  # (B, L, C)
        total = safe_normalise(torch.matmul(weights.unsqueeze(1), signs).squeeze(1))  # (B, C)
        for i, (v, modality) in enumerate(zip(vectors[::2], vectors[1::2], strict=True)):
            angle = safe_normalise(v) @ self.get_buffer(f"frequency_{i}")  # (B, P, C)
            waves = torch.cos(angle + self.get_buffer(f"phase_{i}"))
            present = (modality > 0).to(v.dtype).unsqueeze(-1)  # (B, P, 1)
            total = total + VECTOR_SHARE * safe_normalise((waves * present).sum(1))
        return safe_normalise(total)
