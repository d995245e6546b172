"""Kernel ridge regression from content to behaviour, as a layer of the encoder.

    f(x) = norm(sum_m exp(width (c(x, m) - 1)) a_m),    c = content cosine with landmark m

The coefficients a_m have a closed form (Saunders et al. 1998; landmarks: Williams & Seeger 2001),
see `training.preparation.kernel`, and stay fixed while the encoder trains.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from training.models.content_sketch import safe_normalise


class KernelShape(NamedTuple):
    """Number of landmarks M, width K of the predicted behaviour, width T of the token table."""

    landmarks: int
    rank: int
    table_dim: int


class KernelLayer(nn.Module):
    """Predicts unit behaviour vectors (B, K) from the sum of tokens and the vectors of each space.

    Attributes:
        table: right singular vectors of TF-IDF (1 + V, T), the leading ones first. Many keep
            apart what few would merge: on Twitch, games.
        landmarks: content of the landmarks (M, G).
        dual: their coefficients (M, K).
        width: of the kernel, ().
    """

    table: Tensor
    landmarks: Tensor
    dual: Tensor
    width: Tensor

    def __init__(
        self, tokens: int, leading: int, spaces: Sequence[int], shape: KernelShape
    ) -> None:
        """Create a layer that predicts zeros.

        Args:
            tokens: rows 1 + V of the table.
            leading: number of leading singular vectors, in which similar tokens are close.
            spaces: width of each vector space.
            shape: of the layer; G is `leading`, T and the widths of the spaces.
        """
        super().__init__()
        self._leading = leading
        self.register_buffer("table", torch.zeros(tokens, shape.table_dim))
        content = leading + shape.table_dim + sum(spaces)
        self.register_buffer("landmarks", torch.zeros(shape.landmarks, content))
        self.register_buffer("dual", torch.zeros(shape.landmarks, shape.rank))
        self.register_buffer("width", torch.ones(()))

    def content(self, token_sum: Tensor, centred: Sequence[Tensor]) -> Tensor:
        """Content (B, G), whose inner product is the mean of cosines.

        The cosine of tokens is the mean of those by all and by the leading singular vectors. With
        vectors, it counts as much as the mean cosine of all spaces.

        Args:
            token_sum: sums of rows of `table` (B, T).
            centred: unit vectors of each space (B, W), zero where a streamer has none.
        """
        share = 0.5 if centred else 1.0
        tokens = [token_sum[:, : self._leading], token_sum]
        parts = [math.sqrt(share / 2) * safe_normalise(part) for part in tokens]
        parts += [math.sqrt(share / len(centred)) * part for part in centred]
        return torch.cat(parts, 1)

    def forward(self, content: Tensor) -> Tensor:
        """Predicted behaviour (B, K) of content (B, G)."""
        return safe_normalise(torch.exp(self.width * (content @ self.landmarks.T - 1)) @ self.dual)
