"""The contrast of a recipe: a variant of InfoNCE, what it learns and what it remembers."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.config import ContrastConfig
from training.losses.debiased import debiased
from training.losses.decoupled import decoupled
from training.losses.info_nce import info_nce
from training.losses.siglip import siglip
from training.memory import CrossBatchMemory
from training.stage import Stage, all_rows

_SIGLIP_BIAS = -10.0
"""At the start every pair is taken for a negative, as nearly all are (Zhai 2023)."""


class Contrast(nn.Module):
    """Contrasts queries with keys, and with past keys where there is a memory.

    variants: `info-nce`; `decoupled` (Yeh 2022); `siglip` (Zhai 2023), which learns its scale and
    bias; `debiased` (Chuang 2020); `false-negative-mask`, InfoNCE without the negatives that a
    guide, the content before training, finds near (Solatorio 2024, with a fixed bound).

    A task puts it into its `module`, so that what it learns and remembers is trained and resumed.
    """

    def __init__(self, stage: Stage, config: ContrastConfig) -> None:
        """The contrast that the configuration names.

        Args:
            stage: of the fit, its encoder still at the start.
            config: of the recipe.
        """
        super().__init__()
        self._config = config
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
        excluded: Tensor,
    ) -> Tensor:
        """The loss of queries that look for their keys.

        Args:
            queries: unit embeddings (B, D).
            keys: unit embeddings (K, D).
            rows: whose the queries are, data set rows (B,).
            key_rows: whose the keys are (K,).
            wanted: weights of the positives (B, K).
            excluded: bool (B, K), what is neither positive nor negative.
        """
        if not len(queries):
            return (queries.sum() + keys.sum()) * 0
        if self.memory is not None:
            vectors, past = self.memory.held()
            same = torch.from_numpy(rows).to(past.device)[:, None] == past[None]  # (B, M)
            keys = torch.cat([keys, vectors.to(keys.dtype)])
            key_rows = np.concatenate([key_rows, past.cpu().numpy()])
            wanted = torch.cat([wanted, wanted.new_zeros(same.shape)], 1)
            excluded = torch.cat([excluded, same.to(excluded.device)], 1)
        if self._guide is not None:
            near = self._guide[rows] @ self._guide[key_rows].T > self._config.false_negative_cosine
            excluded = excluded | (torch.from_numpy(near).to(excluded.device) & (wanted <= 0))
        return self._loss(queries @ keys.T, wanted, excluded)

    def two_views(self, first: Tensor, second: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """Mean loss of both views (B, D) of B streamers, distinct rows, looking for each other."""
        wanted = torch.eye(len(rows), dtype=first.dtype, device=first.device)
        excluded = torch.zeros_like(wanted, dtype=torch.bool)
        forth = self(first, second, rows, rows, wanted, excluded)
        back = self(second, first, rows, rows, wanted, excluded)
        self.remember(second, rows)
        return (forth + back) / 2

    def remember(self, keys: Tensor, rows: NDArray[np.int64]) -> None:
        """Put keys (B, D) of streamers (B,) into the memory, if there is one, while training."""
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
            case "info-nce" | "false-negative-mask":
                return info_nce(cosines, wanted, excluded, temperature)
