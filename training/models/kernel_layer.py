"""Kernel ridge regression from content to behaviour, as a layer of the encoder.

    f(x) = norm(sum_m exp(width (c(x, m) - 1)) a_m),    c = content cosine with landmark m

The coefficients a_m have a closed form (Saunders et al. 1998; landmarks: Williams & Seeger 2001),
see `training.preparation.kernel`, and stay fixed while the encoder trains. The branch of the
encoder that reads the prediction starts at kernel ridge:

    v(x) = norm(Q f + MLP([h, f])),    h the output of the token table
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.models.content_sketch import safe_normalise


class KernelShape(NamedTuple):
    """Shape of a kernel branch.

    Attributes:
        landmarks: number M of landmarks.
        rank: width K of the predicted behaviour.
        table_dim: width T of the token table.
        hidden_dim, dropout: of the branch's MLP.
    """

    landmarks: int
    rank: int
    table_dim: int
    hidden_dim: int = 256
    dropout: float = 0.0

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> "KernelShape | None":
        """Shape of the kernel branch of an encoder's weights; None without one."""
        dual = tensors.get("kernel.layer.dual")
        if dual is None:
            return None
        return cls(
            landmarks=dual.shape[0],
            rank=dual.shape[1],
            table_dim=tensors["kernel.layer.table"].shape[1],
            hidden_dim=len(tensors["kernel.mlp.0.weight"]),
        )


class KernelLayer(nn.Module):
    """Predicts unit behaviour vectors (B, K) from the sum of tokens and the vectors of each space.

    Attributes:
        table: right singular vectors of TF-IDF (1 + V, T), the leading ones first. Many keep
            apart what few would merge: on Twitch, games. It is float16, half of a bundle's bytes.
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
        self.register_buffer("table", torch.zeros(tokens, shape.table_dim, dtype=torch.float16))
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


class KernelBranch(nn.Module):
    """Embedding that starts at the kernel layer's prediction, see the module."""

    def __init__(
        self, layer: KernelLayer, table_dim: int, dim: int, hidden_dim: int, dropout: float
    ) -> None:
        """Create a branch that embeds everything as zero; `start` initialises it.

        Args:
            layer: predicts behaviour.
            table_dim: width H of the token table's output.
            dim: width D of the embedding.
            hidden_dim: hidden width of the MLP.
            dropout: of the MLP's hidden units.
        """
        super().__init__()
        self.layer = layer
        rank = layer.dual.shape[1]
        self.projection = nn.Parameter(torch.zeros(rank, dim))
        self.mlp = residual_mlp(table_dim + rank, hidden_dim, dim, dropout)

    @torch.no_grad()
    def start(self, behaviour: NDArray[np.float32]) -> None:
        """Project the layer's output to the principal axes of behaviour vectors (R, K)."""
        axes = principal_axes(behaviour)[:, : self.projection.shape[1]]
        self.projection[:, : axes.shape[1]] = torch.from_numpy(axes).to(self.projection)

    def forward(self, h: Tensor, behaviour: Tensor) -> Tensor:
        """Unit embeddings (B, D) of the token table's output (B, H) and behaviour (B, K)."""
        both = torch.cat([h, behaviour], 1)
        return safe_normalise(behaviour @ self.projection + self.mlp(both))


def residual_mlp(width: int, hidden_dim: int, dim: int, dropout: float) -> nn.Sequential:
    """MLP (B, width) -> (B, dim) that starts near zero, to be added to a projection."""
    last = nn.Linear(hidden_dim, dim)
    with torch.no_grad():
        last.weight.mul_(0.1)
        last.bias.zero_()
    return nn.Sequential(nn.Linear(width, hidden_dim), nn.GELU(), nn.Dropout(dropout), last)


def principal_axes(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Principal axes (D, D) of rows (R, D) around zero, as columns, the longest first."""
    moments = rows.T.astype(np.float64) @ rows.astype(np.float64)
    return np.ascontiguousarray(np.linalg.eigh(moments)[1][:, ::-1], np.float32)


def branch_axes(branches: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Matrix (2 D, D) that weighs two branches and turns them to their common principal axes.

    Args:
        branches: unit embeddings by the token table and by the kernel (R, 2 D).
        share: weight of the kernel's cosine in that of the embedding, from 0 to 1.
    """
    dim = branches.shape[1] // 2
    weights = np.repeat(np.array([1 - share, share], np.float32) ** 0.5, dim)  # (2 D,)
    axes = principal_axes(np.asarray(branches * weights, np.float32))
    return weights[:, None] * axes[:, :dim]
