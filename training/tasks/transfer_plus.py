"""`transfer-plus`: multi-positive contrast of behavioural neighbours, weighted by content."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from training.config import TransferPlusConfig
from training.errors import DataError
from training.evaluation.tasks import HeldOut
from training.features.dropout import drop_tokens
from training.losses.regression import regression
from training.mining.hard_negatives import HardNegatives, find_hard_negatives
from training.mining.positives import (
    Behaviour,
    IdSpace,
    Positives,
    SharedAudience,
    trusted_only,
    weigh,
)
from training.models.grad_cache import embed_in_chunks
from training.numeric.blocks import blocks
from training.preparation.stage import Stage, all_rows
from training.tasks.base import step_generator
from training.tasks.contrast import Contrast
from training.tasks.taught import TaughtTask
from training.teachers.id_embeddings import Teacher
from training.teachers.label_noise import NoiseEstimate

_PARTNER_WEIGHT = 0.3
"""Smallest weight of an anchor's own drawn positive."""


class TransferPlus(TaughtTask):
    """Weighted multi-positive InfoNCE with regression to the ID-embedding."""

    def __init__(
        self, stage: Stage, config: TransferPlusConfig, validation: HeldOut | None
    ) -> None:
        """Find the positives and hard negatives of the stage's warm streamers.

        Args:
            stage: with a teacher.
            config: of the recipe.
            validation: validation tasks; None without validation.

        Raises:
            DataError: fewer than two streamers have both content and behaviour, or none of them
                has a positive.
        """
        super().__init__(stage, validation)
        self._config = config
        assert stage.teacher is not None
        warm = stage.usable[stage.teacher.rows]
        self._content = all_rows(
            self.encoder, self.encoder.fused, stage.bags, stage.usable, self.rows
        )
        self._behaviour, self._positives, few = self._find_positives(stage.teacher, warm)
        self._anchors = self._positives.anchors
        self._hard = self._find_hard_negatives(few)
        if not len(self._anchors):
            raise DataError(
                f"{stage.dataset.folder} has no two training streamers that are related by "
                "behaviour and trusted by content; try --set denoise=false or --recipe masked-views"
            )
        self._contrast = Contrast(stage, config)

    def losses(self, step: int) -> dict[str, Tensor]:
        """`contrast_loss` and `regression_loss`."""
        config, rng = self._config, step_generator(self._stage.seed, step)
        there = self._hard.there
        hard = round(config.batch_size * config.hard_share * there[self._anchors].mean())
        count = min((config.batch_size - hard) // 2, len(self._anchors))
        anchors = rng.choice(self._anchors, count, replace=False)
        negatives = self._hard.draw(anchors[there[anchors]][:hard], rng)
        drawn = np.concatenate([anchors, self._positives.draw(anchors, rng), negatives])  # (B,)
        wanted, excluded = self._pairs(drawn, count)
        bags = drop_tokens(self._stage.bags.take(self.rows[drawn]), config, rng)
        z = embed_in_chunks(self.encoder.embed, bags, config.chunk_size)  # (B, D)
        rows, place = self.rows[drawn], self.encoder.place
        losses = {"contrast_loss": self._contrast(z, z, rows, rows, place(wanted), place(excluded))}
        if self.encoder.id_head is not None and config.regression_weight > 0:
            losses["regression_loss"] = config.regression_weight * regression(
                self.encoder.id_head(z), place(self._vectors[drawn]), place(self.trust[drawn])
            )
        return losses

    def _find_positives(
        self, teacher: Teacher, warm: NDArray[np.bool_]
    ) -> tuple[Behaviour, Positives, NDArray[np.int64]]:
        """Positives by shared audience if any streamers share one, otherwise in the ID space.

        Also returns the streamers with fewer neighbours than configured.
        """
        config, rng = self._config, np.random.default_rng(self._stage.seed)
        if teacher.audience is not None:
            noise = teacher.behaviour_noise
            judged = None if noise is None else noise.of(warm)
            shared = SharedAudience(teacher.audience[warm], config.audience_power)
            near, weights, few = shared.completed(
                config.neighbours, judged and judged.trusted, config.two_hop
            )
            if weights.any():
                positives = self._weigh(near, weights, judged, rng)
                return shared, positives, np.flatnonzero(few)
        judged = None if teacher.noise is None else teacher.noise.of(warm)
        space = IdSpace(teacher.directions[warm], config.id_temperature, config.negative_id_cosine)
        near, weights = space.candidates(config.neighbours, judged and judged.trusted)
        few = np.zeros(0, np.int64)  # every streamer has cosines to all others
        return space, self._weigh(near, weights, judged, rng), few

    def _weigh(
        self,
        near: NDArray[np.int64],
        behaviour: NDArray[np.float32],
        judged: NoiseEstimate | None,
        rng: np.random.Generator,
    ) -> Positives:
        """Weigh candidates (N, K) by behaviour, content and label trust."""
        if judged is not None:
            near, behaviour = trusted_only(near, behaviour, judged)
        return weigh(near, behaviour, self._content, self._config.content_floor, rng)

    def _find_hard_negatives(self, few: NDArray[np.int64]) -> HardNegatives:
        """Hard negatives of streamers with few neighbours; others gained nothing on validation."""
        config, weights = self._config, self._positives.weights

        def alike(rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
            found = self._behaviour.related_to(rows, others)
            for part in blocks(len(rows), len(self.rows)):
                wanted = weights[rows[part]].toarray() > 0  # (b, N)
                found[part] |= np.take_along_axis(wanted, others[part], 1)
            return found

        return find_hard_negatives(
            few if config.hard_negatives else few[:0],
            self._content,
            alike,
            max(config.hard_negatives, 1),
            config.negative_content_cosine,
        )

    def _pairs(
        self, drawn: NDArray[np.int64], anchors: int
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Weights of the batch's pairs (B, B), and pairs to ignore (B, B).

        Args:
            drawn: anchors, a positive of each, and hard negatives (B,).
            anchors: number of anchors.
        """
        same = drawn[:, None] == drawn[None]
        half = np.arange(anchors)
        wanted = self._positives.weights[drawn][:, drawn].toarray().astype(np.float32)
        for a, b in ((half, half + len(half)), (half + len(half), half)):
            wanted[a, b] = np.maximum(wanted[a, b], _PARTNER_WEIGHT)
        wanted[same] = 0
        excluded = same | (self._doubtful(drawn) & (wanted <= 0))
        return wanted, excluded

    def _doubtful(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Likely false negatives (R, R), by behaviour or by content."""
        alike = self._content[rows] @ self._content[rows].T
        return self._behaviour.related(rows, rows) | (alike > self._config.negative_content_cosine)
