"""Content sketch: an untrained random projection of a profile, for near-duplicates."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from model_export.contract.vocabulary import Vocabulary

FIXED_SEED = 1
"""Seed of the untrained parts, equal for all models."""
SAME_PIECE_DISTANCE = 0.2
"""Kernel width between unit vectors: much closer pieces count as equal, farther as unlike."""
VECTOR_SHARE = 0.5
"""Length of the vector part of the sketch, relative to the token part."""


def safe_normalise(x: Tensor) -> Tensor:
    """Normalise the last axis as x / sqrt(sum x^2 + 1e-6); finite for zero rows, gradient too."""
    return x * torch.rsqrt((x * x).sum(-1, keepdim=True) + 1e-6)


class ContentSketch(nn.Module):
    """Untrained sketch (B, C) with a high cosine for near-duplicates, independent of training.

    Tokens: each id, unknown buckets included, has a random sign vector, so the dot product of two
    sketches approximates that of their weighted token vectors with noise of about 1 / sqrt(C)
    (Achlioptas 2003). Ready-made vectors: random Fourier features (Rahimi & Recht 2007) of a narrow
    Gaussian kernel, summed over the pieces, so the dot product counts common pieces rather than
    similar styles. The language is left out, since sharing one is no shared content.
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
        """Sketch (B, C) of tokens and weights (B, L), and per space (B, P, W) and (B, P)."""
        signs = self.signs[ids].to(weights.dtype)  # (B, L, C)
        total = safe_normalise(torch.matmul(weights.unsqueeze(1), signs).squeeze(1))  # (B, C)
        for i, (v, modality) in enumerate(zip(vectors[::2], vectors[1::2], strict=True)):
            angle = safe_normalise(v) @ self.get_buffer(f"frequency_{i}")  # (B, P, C)
            waves = torch.cos(angle + self.get_buffer(f"phase_{i}"))
            present = (modality > 0).to(v.dtype).unsqueeze(-1)  # (B, P, 1)
            total = total + VECTOR_SHARE * safe_normalise((waves * present).sum(1))
        return safe_normalise(total)
