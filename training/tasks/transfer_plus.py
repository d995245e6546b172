"""`transfer-plus`: multi-positive contrast of behavioural neighbours, weighted by content."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import normalize
from torch import Tensor, nn

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
from training.models.kernel_layer import branch_axes
from training.preparation.stage import Stage, all_rows, sample
from training.tasks.base import step_generator
from training.tasks.contrast import Contrast
from training.tasks.taught import TaughtTask
from training.teachers.id_embeddings import Teacher
from training.teachers.label_noise import NoiseEstimate

_KERNEL_SHARES = (0.5, 0.25, 0.75, 0.0, 1.0)
"""Candidates of the kernel branch's weight in the embedding, the default first."""
_AXES_ROWS = 10_000
"""Most streamers that the axes of the embedding are computed from."""
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
        self._kernel_contrast = Contrast(stage, config, temperature=config.kernel_temperature)
        self.starts_well = self.left_out is not None  # at kernel ridge
        self._id_head: nn.Linear | None = None
        if self.encoder.id_head is not None and config.regression_weight > 0:
            self._id_head = nn.Linear(config.dim, self._vectors.shape[1])
            self.train_with(id_head=self._id_head)

    def losses(self, step: int) -> dict[str, Tensor]:
        """`contrast_loss`, `regression_loss` and, with a kernel branch, `kernel_contrast_loss`."""
        config, rng = self._config, step_generator(self._stage.seed, step)
        there = self._hard.there
        hard = round(config.batch_size * config.hard_share * there[self._anchors].mean())
        count = min((config.batch_size - hard) // 2, len(self._anchors))
        anchors = rng.choice(self._anchors, count, replace=False)
        negatives = self._hard.draw(anchors[there[anchors]][:hard], rng)
        drawn = np.concatenate([anchors, self._positives.draw(anchors, rng), negatives])  # (B,)
        wanted, excluded = self._pairs(drawn, count)
        bags = drop_tokens(self._stage.bags.take(self.rows[drawn]), self.encoder.known, config, rng)
        rows, place = self.rows[drawn], self.encoder.place
        pairs = rows, rows, place(wanted), place(excluded)
        if self.left_out is None:
            z = embed_in_chunks(self.encoder.embed, bags, config.chunk_size)  # (B, D)
            losses = {"contrast_loss": self._contrast(z, z, *pairs)}
        else:
            new = replace(bags, behaviour=self.left_out[drawn])
            both = embed_in_chunks(self.encoder.branches, new, config.chunk_size)  # (B, 2 D)
            z, v = both.chunk(2, dim=1)
            losses = {"contrast_loss": self._contrast(z, z, *pairs)}
            losses["kernel_contrast_loss"] = self._kernel_contrast(v, v, *pairs)
        if self._id_head is not None:
            losses["regression_loss"] = config.regression_weight * regression(
                self._id_head(z), place(self._vectors[drawn]), place(self.trust[drawn])
            )
        return losses

    def parameter_groups(self, learning_rate: float, weight_decay: float) -> list[dict[str, Any]]:
        """Groups for AdamW; the kernel branch has a rate and weight decay of its own."""
        kernel = self.encoder.kernel
        if kernel is None:
            return super().parameter_groups(learning_rate, weight_decay)
        own = list(kernel.parameters())
        ids = {id(each) for each in own}
        others = [each for each in self.module.parameters() if id(each) not in ids]
        config = self._config
        return [
            {"params": others, "lr": learning_rate, "weight_decay": weight_decay},
            {
                "params": own,
                "lr": config.kernel_learning_rate,
                "weight_decay": config.kernel_weight_decay,
            },
        ]

    def validate(self) -> float:
        """Metric with the best of some weights of the kernel branch."""
        if self.left_out is None or self._validation is None:
            return super().validate()
        task, rows = self._validation.among()
        if not len(rows):
            return math.nan
        branches, new = self._branches(rows), self._new_branches()
        values = []
        for share in _KERNEL_SHARES:
            embeddings = normalize(branches @ branch_axes(new, share))
            values.append(task.ndcg(np.asarray(embeddings, np.float32)))
        best = int(np.argmax(values))
        self.choices = {"kernel_share": _KERNEL_SHARES[best]}
        return values[best]

    def finish(self) -> None:
        """Weigh the branches, then solve the ID head."""
        if self.left_out is not None:
            share = self.choices.get("kernel_share", _KERNEL_SHARES[0])
            axes = branch_axes(self._new_branches(), share)
            with torch.no_grad():
                self.encoder.axes.copy_(self.encoder.place(axes))
        super().finish()

    def _new_branches(self) -> NDArray[np.float32]:
        """Branches of some training streamers, each as if it were new (R, 2 D)."""
        assert self.left_out is not None
        some = sample(np.arange(len(self.rows)), _AXES_ROWS, self._stage.seed)
        return self._branches(self.rows[some], self.left_out[some])

    def _branches(
        self, rows: NDArray[np.int64], behaviour: NDArray[np.floating] | None = None
    ) -> NDArray[np.float32]:
        """Branches of data set rows (R, 2 D), with the predicted or a given behaviour (R, K)."""
        stage, encoder = self._stage, self.encoder
        bags = stage.bags.take(rows)
        if behaviour is not None:
            bags = replace(bags, behaviour=behaviour)
        return all_rows(encoder, encoder.branches, bags, stage.usable[rows])

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
        near: NDArray[np.integer],
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
        config = self._config

        def alike(rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
            return self._behaviour.related_to(rows, others) | self._positives.has(rows, others)

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
        wanted = self._positives.among(drawn)
        for a, b in ((half, half + len(half)), (half + len(half), half)):
            wanted[a, b] = np.maximum(wanted[a, b], _PARTNER_WEIGHT)
        wanted[same] = 0
        excluded = same | (self._doubtful(drawn) & (wanted <= 0))
        return wanted, excluded

    def _doubtful(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Likely false negatives (R, R), by behaviour or by content."""
        alike = self._content[rows] @ self._content[rows].T
        return self._behaviour.related(rows, rows) | (alike > self._config.negative_content_cosine)
