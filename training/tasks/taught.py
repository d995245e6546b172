"""Base of tasks that learn from a teacher."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV

from training.errors import DataError
from training.evaluation.tasks import HeldOut
from training.preparation.stage import Stage, all_rows
from training.tasks.base import Task

_STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)
_LEAST_TRUST = 1e-3  # keeps the regression solvable if no vector is trusted


class TaughtTask(Task):
    """Learns from warm streamers with content, validated on cold queries.

    The ID head does not influence the embedding. It is solved by ridge regression at the end, so
    every bundle can predict ID-embeddings, whatever the recipe.

    Attributes:
        rows: int64 (N,), data set rows of the training streamers.
        trust: float32 (N,), probability that each teacher vector is correct.
    """

    def __init__(self, stage: Stage, validation: HeldOut | None) -> None:
        """Select the teacher's streamers with usable content.

        Args:
            stage: with a teacher.
            validation: validation tasks; None without validation.

        Raises:
            DataError: fewer than two streamers have both content and behaviour.
        """
        if stage.teacher is None:
            raise ValueError("the recipe needs a teacher")
        warm = stage.usable[stage.teacher.rows]
        if warm.sum() < 2:
            raise DataError(
                f"{stage.dataset.folder} has fewer than two training streamers with both content "
                "and behaviour"
            )
        self.encoder = stage.encoder
        self._stage, self._validation = stage, validation
        self.rows: NDArray[np.int64] = stage.teacher.rows[warm]
        self._vectors = stage.teacher.vectors[warm] / stage.teacher.scale  # (N, E)
        self._directions = stage.teacher.directions[warm]  # (N, E)
        noise = stage.teacher.noise
        self.trust: NDArray[np.float32] = np.ones(len(self.rows), np.float32)
        if noise is not None:
            self.trust = noise.trust[warm]
        self.encoder.id_scale.fill_(stage.teacher.scale)

    def validate(self) -> float:
        """Mean of the held-out streamers' NDCG@20 among seen and among unseen streamers."""
        if self._validation is None:
            return math.nan
        vectors = all_rows(self.encoder, self.encoder.embed, self._stage.bags, self._stage.usable)
        return self._validation.ndcg(vectors)

    def finish(self) -> None:
        """Solve the ID head by ridge regression weighted by trust, strength by leave-one-out."""
        head = self.encoder.id_head
        if head is None:
            return
        stage = self._stage
        z = all_rows(self.encoder, self.encoder.embed, stage.bags, stage.usable, self.rows)
        ridge = RidgeCV(_STRENGTHS)
        ridge.fit(z.astype(np.float64), self._vectors.astype(np.float64), self.trust + _LEAST_TRUST)
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(np.asarray(ridge.coef_)))
            head.bias.copy_(torch.from_numpy(np.asarray(ridge.intercept_)))
