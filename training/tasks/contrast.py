"""Contrastive loss of a recipe."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.config import ContrastConfig
from training.losses.info_nce import info_nce
from training.models.content_sketch import safe_normalise
from training.preparation.stage import Stage, all_rows

Alike = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]]
"""Whether the i-th data set rows of both arrays (P,) are related."""


class Contrast:
    """InfoNCE of queries and keys, and of their shorter widths (`matryoshka`).

    `false-negative-mask` ignores negatives that are close by initial content vectors (Solatorio
    2024, fixed bound).
    """

    def __init__(
        self,
        stage: Stage,
        config: ContrastConfig,
        alike: Alike | None = None,
        temperature: float | None = None,
    ) -> None:
        """Create the contrast of a configuration.

        Args:
            stage: of the fit, with the untrained encoder.
            config: of the recipe.
            alike: which streamers are related and must not be negatives; None = none.
            temperature: of the loss; None = the configured one.
        """
        self._temperature = config.temperature if temperature is None else temperature
        self._config, self._alike = config, alike
        self._widths = config.widths if stage.encoder.kernel is None else ()
        self._groups = stage.dataset.groups
        self._guide: NDArray[np.float32] | None = None
        if config.contrast == "false-negative-mask":
            self._guide = all_rows(stage.encoder, stage.encoder.fused, stage.bags, stage.usable)

    def __call__(
        self,
        queries: Tensor,
        keys: Tensor,
        rows: NDArray[np.int64],
        key_rows: NDArray[np.int64],
        wanted: Tensor,
        excluded: Tensor | None = None,
    ) -> Tensor:
        """Contrastive loss of queries and keys.

        Negatives are all keys that are not positives, except those of the same streamer, of its
        known near-duplicates, of related streamers and masked false negatives.

        Args:
            queries: unit embeddings (B, D).
            keys: unit embeddings (K, D).
            rows: data set rows of the queries (B,).
            key_rows: data set rows of the keys (K,).
            wanted: weights of the positives (B, K).
            excluded: bool (B, K), further pairs to ignore.
        """
        if not len(queries):
            return (queries.sum() + keys.sum()) * 0
        doubtful = torch.from_numpy(self._doubtful(rows, key_rows)).to(wanted.device)
        doubtful &= wanted <= 0
        if excluded is not None:
            doubtful |= excluded
        loss = info_nce(queries @ keys.T, wanted, doubtful, self._temperature)
        for width in self._widths:
            asking, asked = (safe_normalise(each[:, :width]) for each in (queries, keys))
            shorter = info_nce(asking @ asked.T, wanted, doubtful, self._temperature)
            loss = loss + self._config.matryoshka_weight * shorter
        return loss

    def _doubtful(self, rows: NDArray[np.int64], key_rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Pairs (B, K) that must not be negatives."""
        found = self._groups[rows][:, None] == self._groups[key_rows]
        if self._alike is not None:
            pairs = np.repeat(rows, len(key_rows)), np.tile(key_rows, len(rows))
            found |= self._alike(*pairs).reshape(found.shape)
        if self._guide is not None:
            nearness = self._guide[rows] @ self._guide[key_rows].T
            found |= nearness > self._config.false_negative_cosine
        return found

    def two_views(self, first: Tensor, second: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """Symmetric loss between two views (B, D) of B distinct streamers."""
        wanted = torch.eye(len(rows), dtype=first.dtype, device=first.device)
        forth = self(first, second, rows, rows, wanted)
        back = self(second, first, rows, rows, wanted)
        return (forth + back) / 2
