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
    """Number of landmarks M and width K of the predicted behaviour."""

    landmarks: int
    rank: int


class KernelLayer(nn.Module):
    """Predicts unit behaviour vectors (B, K) from the sum of tokens and the vectors of each space.

    Attributes:
        table: initial token table (1 + V, H), which does not train.
        landmarks: content of the landmarks (M, G).
        dual: their coefficients (M, K).
        width: of the kernel, ().
    """

    table: Tensor
    landmarks: Tensor
    dual: Tensor
    width: Tensor

    def __init__(self, table: Tensor, spaces: Sequence[int], shape: KernelShape) -> None:
        """Create a layer that predicts zeros.

        Args:
            table: initial token table (1 + V, H).
            spaces: width of each vector space; G is H and their sum.
            shape: of the layer.
        """
        super().__init__()
        self.register_buffer("table", table.detach().clone())
        content = table.shape[1] + sum(spaces)
        self.register_buffer("landmarks", torch.zeros(shape.landmarks, content))
        self.register_buffer("dual", torch.zeros(shape.landmarks, shape.rank))
        self.register_buffer("width", torch.ones(()))

    def content(self, token_sum: Tensor, centred: Sequence[Tensor]) -> Tensor:
        """Content (B, G) whose inner product is the mean cosine of tokens and of vectors.

        Args:
            token_sum: sums of rows of `table` (B, H).
            centred: unit vectors of each space (B, W), zero where a streamer has none.
        """
        tokens = safe_normalise(token_sum)
        if not centred:
            return tokens
        share = math.sqrt(1 / (2 * len(centred)))
        return torch.cat([math.sqrt(0.5) * tokens, *(share * each for each in centred)], 1)

    def forward(self, content: Tensor) -> Tensor:
        """Predicted behaviour (B, K) of content (B, G)."""
        return safe_normalise(torch.exp(self.width * (content @ self.landmarks.T - 1)) @ self.dual)
