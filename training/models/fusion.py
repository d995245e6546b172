"""Fusion of a streamer's pieces to one vector.

    sum          all pieces have equal weight
    recency      a learned gate per modality and age class
    transformer  gates computed from all pieces, plus an addition to the sum from attention pooling

All start close to the plain sum: gates are 1 and the addition is small.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from model_export.contract.piece_table import AGES
from model_export.contract.pieces import MODALITIES
from training.config import RecipeConfig
from training.config.base import FUSION_HEADS

_KINDS = 1 + len(MODALITIES)
_GATE_SPEED = 5.0
"""Scale of the gate logits, since AdamW moves a parameter by only about 0.001 per step."""
_ADDED = 0.05
_NOTHING = 1e-10


class Recency(nn.Module):
    """Learned gate per modality and age class."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(_KINDS, AGES))

    def forward(self, modality: Tensor, age: Tensor) -> Tensor:
        """Gates (B, N), > 0, by modality (1 + place in `MODALITIES`) and age class (B, N)."""
        return torch.exp(_GATE_SPEED * self.logits[modality, age])


class Transformer(nn.Module):
    """Transformer over pieces: content + modality + age, and a null token per absent modality.

    Layers are pre-norm (Xiong 2020). Attention pooling weighs the pieces' additions to the sum.
    """

    def __init__(self, width: int, dim: int, layers: int) -> None:
        """Create a transformer with a small initial output.

        Args:
            width: H of the pieces.
            dim: width W of its tokens.
            layers: number of layers.
        """
        super().__init__()
        self.read = nn.Linear(width, dim)
        self.size = nn.Linear(1, dim)
        self.kinds = nn.Parameter(torch.randn(_KINDS, dim))
        self.ages = nn.Parameter(torch.randn(AGES, dim))
        self.null = nn.Parameter(torch.randn(len(MODALITIES), dim))
        self.layers = nn.ModuleList(_Layer(dim) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        self.gate = nn.Linear(dim, 1)
        self.attend = nn.Linear(dim, 1)
        self.add = nn.Linear(dim, width, bias=False)
        with torch.no_grad():
            self.gate.weight.zero_()
            self.gate.bias.zero_()
            # The addition has a length of about `_ADDED`, the sum of 1.
            self.add.weight.normal_(std=_ADDED / math.sqrt(dim * width))

    def forward(self, contents: Tensor, modality: Tensor, age: Tensor) -> tuple[Tensor, Tensor]:
        """Gate and contextual output of each piece.

        Args:
            contents: (B, N, H); zero rows are pieces without content and are masked.
            modality: (B, N), 1 + place in `MODALITIES`, 0 = padding.
            age: age class (B, N).

        Returns:
            Gates (B, N), > 0, and pooled outputs (B, N, W), which `add` projects to the sum.
        """
        square = (contents * contents).sum(-1)  # (B, N)
        there = square > _NOTHING
        length = torch.sqrt(torch.where(there, square, 1.0)).unsqueeze(-1)  # (B, N, 1)
        x = self.read(contents / length) + self.size(torch.log(length))
        x = x + self.kinds[modality] + self.ages[age]  # (B, N, W)
        kinds = torch.arange(1, _KINDS, device=modality.device)
        shown = ((modality.unsqueeze(-1) == kinds) & there.unsqueeze(-1)).any(1)  # (B, M)
        x = torch.cat([x, self.null.expand(x.shape[0], -1, -1)], 1)  # (B, N + M, W)
        mask = torch.cat([there, ~shown], 1)
        bias = torch.where(mask, 0.0, -1e4).unsqueeze(1).unsqueeze(1)  # (B, 1, 1, N + M)
        for layer in self.layers:
            x = layer(x, bias)
        x = self.norm(x[:, : contents.shape[1]])  # (B, N, W)
        gates = torch.exp(_GATE_SPEED * self.gate(x).squeeze(-1).clamp(-1, 1))
        share = self.attend(x).squeeze(-1) + torch.where(there, 0.0, -1e4)
        share = torch.softmax(share, 1) * there.to(x.dtype)
        return gates, share.unsqueeze(-1) * x


class _Layer(nn.Module):
    """Pre-norm layer: self-attention and MLP with residual connections."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.inward, self.outward = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Transform tokens (B, N, W) with an attention bias (B, 1, 1, N)."""
        rows, tokens, dim = x.shape
        parts = self.inward(self.first(x)).view(rows, tokens, 3, FUSION_HEADS, dim // FUSION_HEADS)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)  # (B, heads, N, W / heads)
        attention = query @ key.transpose(-1, -2) / math.sqrt(dim // FUSION_HEADS) + bias
        found = (functional.softmax(attention, -1) @ value).transpose(1, 2)  # (B, N, heads, ...)
        x = x + self.outward(found.reshape(rows, tokens, dim))
        return x + self.mlp(self.second(x))


def fusion_of(config: RecipeConfig) -> Recency | Transformer | None:
    """Fusion module of a configuration; None for the plain sum."""
    if config.fusion == "recency":
        return Recency()
    if config.fusion == "transformer":
        return Transformer(config.table_dim, config.fusion_dim, config.fusion_layers)
    return None
