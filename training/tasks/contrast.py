"""Contrastive loss of a recipe, with its parameters and memory."""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.config import ContrastConfig
from training.losses.cross_batch_memory import CrossBatchMemory
from training.losses.debiased import debiased
from training.losses.decoupled import decoupled
from training.losses.entmax import entmax
from training.losses.info_nce import info_nce
from training.losses.siglip import siglip
from training.models.content_sketch import safe_normalise
from training.preparation.stage import Stage, all_rows

Alike = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]]
"""Whether the i-th data set rows of both arrays (P,) are related."""

_SIGLIP_BIAS = -10.0
"""Initial bias: most pairs are negatives (Zhai 2023)."""


class Contrast(nn.Module):
    """Contrast of queries with keys, and with past keys from a cross-batch memory.

    Variants: `info-nce`; `decoupled` (Yeh 2022); `siglip` (Zhai 2023), with learned scale and bias;
    `debiased` (Chuang 2020); `entmax` (Peters 2019), which is sparse; `false-negative-mask`,
    InfoNCE without negatives that are close by initial content vectors (Solatorio 2024, fixed
    bound).

    Shorter widths (`matryoshka`) are contrasted as well, by the same variant. A task adds the
    contrast to its `module`, so its parameters and memory are trained and resumed.
    """

    def __init__(self, stage: Stage, config: ContrastConfig, alike: Alike | None = None) -> None:
        """Create the contrast of a configuration.

        Args:
            stage: of the fit, with the untrained encoder.
            config: of the recipe.
            alike: which streamers are related and must not be negatives; None = none.
        """
        super().__init__()
        self._config, self._alike = config, alike
        self.memory = CrossBatchMemory(config.memory, config.dim) if config.memory else None
        self._guide: NDArray[np.float32] | None = None
        if config.contrast == "siglip":
            self.log_scale = nn.Parameter(torch.tensor(-math.log(config.temperature)))
            self.bias = nn.Parameter(torch.tensor(_SIGLIP_BIAS))
        if config.contrast == "false-negative-mask":
            self._guide = all_rows(stage.encoder, stage.encoder.fused, stage.bags, stage.usable)

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        rows: NDArray[np.int64],
        key_rows: NDArray[np.int64],
        wanted: Tensor,
        excluded: Tensor | None = None,
    ) -> Tensor:
        """Contrastive loss of queries and keys.

        Negatives are all keys that are not positives, except those of the same streamer, of related
        streamers and masked false negatives.

        Args:
            queries: unit embeddings (B, D).
            keys: unit embeddings (K, D).
            rows: data set rows of the queries (B,).
            key_rows: data set rows of the keys (K,).
            wanted: weights of the positives (B, K).
            excluded: bool (B, K), further pairs to ignore; or (B, K + M) including past keys.
        """
        if not len(queries):
            return (queries.sum() + keys.sum()) * 0
        if self.memory is not None:
            vectors, past = self.memory.held()
            keys = torch.cat([keys, vectors.to(keys.dtype)])
            key_rows = np.concatenate([key_rows, past.cpu().numpy()])
        doubtful = torch.from_numpy(self._doubtful(rows, key_rows)).to(wanted.device)
        more = len(key_rows) - wanted.shape[1]  # columns of the memory
        wanted = functional.pad(wanted, (0, more))
        doubtful &= wanted <= 0
        if excluded is not None:
            doubtful |= functional.pad(excluded, (0, len(key_rows) - excluded.shape[1]))
        loss = self._loss(queries @ keys.T, wanted, doubtful)
        for width in self._config.widths:
            asking, asked = (safe_normalise(each[:, :width]) for each in (queries, keys))
            loss = loss + self._config.matryoshka_weight * self._loss(
                asking @ asked.T, wanted, doubtful
            )
        return loss

    def remembered(self) -> NDArray[np.int64]:
        """Data set rows of the past keys (M,)."""
        if self.memory is None:
            return np.zeros(0, np.int64)
        return self.memory.held()[1].cpu().numpy()

    def _doubtful(self, rows: NDArray[np.int64], key_rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Pairs (B, K) that must not be negatives."""
        found = rows[:, None] == key_rows[None]
        if self._alike is not None:
            pairs = np.repeat(rows, len(key_rows)), np.tile(key_rows, len(rows))
            found |= self._alike(*pairs).reshape(found.shape)
        if self._guide is not None:
            nearness = self._guide[rows] @ self._guide[key_rows].T
            found |= nearness > self._config.false_negative_cosine
        return found

    def among(
        self, embeddings: Tensor, rows: NDArray[np.int64], wanted: Tensor, excluded: Tensor
    ) -> Tensor:
        """Contrastive loss within a batch, which is then remembered.

        Args:
            embeddings: unit rows (B, D).
            rows: data set rows (B,).
            wanted: weights of the positives (B, B).
            excluded: bool (B, B), or (B, B + M) with past rows, pairs to ignore; a row with itself
                is always ignored.
        """
        loss = self(embeddings, embeddings, rows, rows, wanted, excluded)
        self.remember(embeddings, rows)
        return loss

    def two_views(self, first: Tensor, second: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """Symmetric loss between two views (B, D) of B distinct streamers."""
        wanted = torch.eye(len(rows), dtype=first.dtype, device=first.device)
        forth = self(first, second, rows, rows, wanted)
        back = self(second, first, rows, rows, wanted)
        self.remember(second, rows)
        return (forth + back) / 2

    def remember(self, keys: Tensor, rows: NDArray[np.int64]) -> None:
        """Add keys (B, D) of data set rows (B,) to the memory, if any, while training."""
        if self.memory is not None and self.training:
            self.memory.add(keys, torch.from_numpy(rows).to(keys.device))

    def _loss(self, cosines: Tensor, wanted: Tensor, excluded: Tensor) -> Tensor:
        temperature = self._config.temperature
        match self._config.contrast:
            case "decoupled":
                return decoupled(cosines, wanted, excluded, temperature)
            case "debiased":
                prior = self._config.positive_prior
                return debiased(cosines, wanted, excluded, temperature, prior)
            case "siglip":
                return siglip(cosines, wanted, excluded, self.log_scale.exp(), self.bias)
            case "entmax":
                return entmax(cosines, wanted, excluded, temperature)
            case "info-nce" | "false-negative-mask":
                return info_nce(cosines, wanted, excluded, temperature)
