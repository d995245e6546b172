"""`transfer`: contrast of neighbours in the ID space, filtered by content."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from training.config import TransferConfig
from training.data.passes import subset
from training.errors import DataError
from training.evaluation.tasks import HeldOut
from training.features.dropout import drop_tokens
from training.mining.content_filters import (
    Similarity,
    cosine_similarity,
    edit_similarity,
    passed,
    shuffled,
    tag_similarity,
    tags_of,
    text_of,
)
from training.mining.positives import Positives
from training.models.grad_cache import embed_in_chunks
from training.numeric.nearest import nearest
from training.preparation.stage import Stage, all_rows
from training.tasks.base import step_generator
from training.tasks.contrast import Contrast
from training.tasks.masked_views import MaskedViews
from training.tasks.taught import TaughtTask

_FILTER = 2
"""Seed offset of the filter."""


class Transfer(TaughtTask):
    """Pretraining on masked views, then InfoNCE on pairs of neighbours in the ID space.

    Steps below `pretrain_steps` are steps of `masked-views`. The phase depends on the step number
    only, so a fit can be resumed at any step.

    Attributes:
        pairs: neighbours of the N streamers of the teacher, weighted by the filter.
    """

    def __init__(self, stage: Stage, config: TransferConfig, validation: HeldOut | None) -> None:
        """Find and filter the neighbours.

        Args:
            stage: with a teacher.
            config: of the recipe.
            validation: validation tasks; None without validation.

        Raises:
            DataError: too few streamers have two atoms for pretraining, or the filter drops all.
        """
        super().__init__(stage, validation)
        self._config = config
        self.settled_from = config.pretrain_steps
        near, _ = nearest(self._directions, config.neighbours)
        weights = self._weights(near)
        self.pairs = Positives.of(near, weights)
        self._likely: NDArray[np.float64] = weights.max(1).astype(np.float64)  # (N,)
        if not self._likely.any():
            raise DataError(
                f"the filter {config.filter!r} drops all neighbours in {stage.dataset.folder}; "
                "lower --set filter_quantile or choose another --set filter"
            )
        self._contrast = Contrast(stage, config)
        self._start = self._masked_views() if config.pretrain_steps else None

    def losses(self, step: int) -> dict[str, Tensor]:
        """Losses of `masked-views` during pretraining, then `pairs_loss`."""
        config = self._config
        if self._start is not None and step < config.pretrain_steps:
            return self._start.losses(step)
        rng = step_generator(self._stage.seed, step)
        drawn = self.draw(rng)  # (B,), anchors, then their positives
        bags = drop_tokens(self._stage.bags.take(self.rows[drawn]), self.encoder.known, config, rng)
        z = embed_in_chunks(self.encoder.embed, bags, config.chunk_size)  # (B, D)
        partner = np.roll(drawn, len(drawn) // 2)
        wanted = (partner[:, None] == drawn[None]).astype(np.float32)  # (B, B)
        rows = self.rows[drawn]
        return {"pairs_loss": self._contrast(z, z, rows, rows, self.encoder.place(wanted))}

    def draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw distinct anchors by their best weight, and a positive of each by weight (B,)."""
        count = min(self._config.batch_size // 2, np.count_nonzero(self._likely))
        chance = self._likely / self._likely.sum()
        anchors = rng.choice(len(chance), count, replace=False, p=chance)
        return np.concatenate([anchors, self.pairs.draw(anchors, rng)])

    def _masked_views(self) -> MaskedViews:
        try:
            return MaskedViews(self._stage, self._config, None)
        except DataError as error:
            raise DataError(f"{error}; skip the pretraining with --set pretrain_steps=0") from None

    def _weights(self, near: NDArray[np.int64]) -> NDArray[np.float32]:
        """Filter weights of the neighbours (N, K)."""
        config, rng = self._config, np.random.default_rng([self._stage.seed, _FILTER])
        if config.filter == "none":
            return np.ones(near.shape, np.float32)
        weights = passed(near, self._similarity(), config.filter_quantile, config.filter_form, rng)
        return shuffled(weights, rng) if config.filter == "random" else weights

    def _similarity(self) -> Similarity:
        """Content similarity of warm streamers."""
        stage = self._stage
        pieces = subset(stage.pieces, self.rows)
        match self._config.filter:
            case "edit-distance":
                return edit_similarity([text_of(each) for each in pieces], stage.threads)
            case "tags":
                return tag_similarity([tags_of(each) for each in pieces])
            case _:
                start = all_rows(
                    self.encoder, self.encoder.fused, stage.bags, stage.usable, self.rows
                )
                return cosine_similarity(start)
