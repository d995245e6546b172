"""Small encoders that keep the graph contract, and some that do not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model_export.contract.bundle import DuplicateThreshold, IdSpace
from model_export.contract.established import Established
from model_export.contract.pieces import MODALITIES
from model_export.contract.vocabulary import Space, Vocabulary
from model_export.errors import SourceError
from model_export.source import ExportSource

DIM, CONTENT_DIM, ID_DIM = 8, 16, 4
SPACES = (Space("cover", 3), Space("sound", 2))


def vocabulary(spaces: tuple[Space, ...] = SPACES) -> Vocabulary:
    known = "w=night w=beats w=音乐 t=电影 t=音乐 t=c++ c=music l=zh w=game w=on"
    tokens = sorted(known.split())
    return Vocabulary(tokens, [2] * len(tokens), documents=20, buckets=32, spaces=spaces)


def unit(x: Tensor) -> Tensor:
    return x * torch.rsqrt((x * x).sum(-1, keepdim=True) + 1e-6)


class Tiny(nn.Module):
    """Bags of table rows and summed vectors; one random row per token, unknown ones too."""

    def __init__(self, words: Vocabulary, seed: int = 0, *, id_dim: int | None = ID_DIM) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)

        def random(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        self.table = nn.Parameter(random(words.size, DIM))
        self.signs = nn.Parameter(random(words.size, CONTENT_DIM))
        self.to_dim = nn.ParameterList([random(s.width, DIM) for s in words.spaces])
        self.to_content = nn.ParameterList([random(s.width, CONTENT_DIM) for s in words.spaces])
        self.to_id = None if id_dim is None else nn.Parameter(random(DIM, id_dim))

    def forward(
        self, token_ids: Tensor, token_counts: Tensor, token_modality: Tensor, *vectors: Tensor
    ) -> tuple[Tensor, ...]:
        weights = token_counts.float().unsqueeze(-1)  # (B, L, 1)
        h = (self.table[token_ids] * weights).sum(1)  # (B, D)
        content = (self.signs[token_ids] * weights).sum(1)  # (B, C)
        axis = torch.arange(1, 1 + len(MODALITIES))
        places = torch.cat([token_modality, *vectors[1::2]], dim=1)
        seen = (places.unsqueeze(-1) == axis).float().sum(1)  # (B, M)
        for i, given in enumerate(vectors[::2]):
            h = h + given.sum(1) @ self.to_dim[i]
            content = content + given.sum(1) @ self.to_content[i]
        z = unit(h)
        outputs = (z, unit(content), seen / seen.sum(-1, keepdim=True).clamp(min=1e-6))
        return outputs if self.to_id is None else (*outputs, z @ self.to_id)


class ByName(nn.Module):
    """Takes its inputs by name, none as a rest; for a vocabulary with one space."""

    def __init__(self, inner: Tiny) -> None:
        super().__init__()
        self.inner = inner

    def forward(
        self,
        token_ids: Tensor,
        token_counts: Tensor,
        token_modality: Tensor,
        vectors_0: Tensor,
        vectors_0_modality: Tensor,
    ) -> tuple[Tensor, ...]:
        return self.inner(token_ids, token_counts, token_modality, vectors_0, vectors_0_modality)


class Changed(nn.Module):
    """A tiny encoder whose outputs are changed by a function."""

    def __init__(self, inner: Tiny, change: Callable[[list[Tensor]], list[Tensor]]) -> None:
        super().__init__()
        self.inner = inner
        self.change = change

    def forward(
        self, token_ids: Tensor, token_counts: Tensor, token_modality: Tensor, *vectors: Tensor
    ) -> tuple[Tensor, ...]:
        outputs = self.inner(token_ids, token_counts, token_modality, *vectors)
        return tuple(self.change(list(outputs)))


class OtherWhenExported(Tiny):
    """Adds a little to the embedding, but only in PyTorch: as code does that looks at its mode."""

    def forward(
        self, token_ids: Tensor, token_counts: Tensor, token_modality: Tensor, *vectors: Tensor
    ) -> tuple[Tensor, ...]:
        z, *rest = super().forward(token_ids, token_counts, token_modality, *vectors)
        return (z if torch.compiler.is_exporting() else z + 1e-3, *rest)


class LoopOverTokens(Tiny):
    """A Python loop over the tokens: the exported graph would be right for one number of them."""

    def forward(
        self, token_ids: Tensor, token_counts: Tensor, token_modality: Tensor, *vectors: Tensor
    ) -> tuple[Tensor, ...]:
        z, *rest = super().forward(token_ids, token_counts, token_modality, *vectors)
        for _ in range(token_ids.shape[1]):
            z = z * 1.0
        return (z, *rest)


class NotANumberWithoutTokens(Tiny):
    """0/0 for a profile without tokens, which no usable profile shows by chance."""

    def forward(
        self, token_ids: Tensor, token_counts: Tensor, token_modality: Tensor, *vectors: Tensor
    ) -> tuple[Tensor, ...]:
        z, content, weights, *rest = super().forward(
            token_ids, token_counts, token_modality, *vectors
        )
        tokens = (token_ids > 0).float().sum(1, keepdim=True)  # (B, 1)
        return (z, content, weights * tokens / tokens, *rest)


def source(module: nn.Module | None = None, **change: Any) -> ExportSource:
    """What the exporter is given; `change` replaces fields."""
    words: Vocabulary = change.pop("vocabulary", vocabulary())
    given: dict[str, Any] = {
        "module": Tiny(words) if module is None else module,
        "vocabulary": words,
        "recipe": "tiny",
        "dim": DIM,
        "dims": (2, 4),
        "content_dim": CONTENT_DIM,
        "data_digest": "sha256:0",
        "duplicate_threshold": DuplicateThreshold(value=0.875, source="measured on nothing"),
        "config": {"seed": 0, "名": ["字"], "history": [[0, float("nan")]]},
        "metrics": {"ndcg": 0.25, "not measured": float("nan")},
        "id_space": IdSpace(name="likes", dim=ID_DIM),
        "established": Established(["a", "ü"], np.eye(2, ID_DIM, dtype=np.float32)),
    }
    return ExportSource(**{**given, **change})


def load(checkpoint: Path) -> ExportSource:
    """A loader as the command line wants it; the checkpoint is a JSON file with a seed."""
    if not checkpoint.exists():
        raise SourceError(f"{checkpoint} is not a checkpoint;\ntrain first")
    seed = json.loads(checkpoint.read_text())["seed"]
    return source(Tiny(vocabulary(), seed))


NOT_A_FUNCTION = 1
