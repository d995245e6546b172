"""Base of tasks that learn from a teacher."""

import math
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV

from training.errors import DataError
from training.evaluation.tasks import HeldOut
from training.preparation.stage import Stage, all_rows, embeddings, sample
from training.tasks.base import Task

_STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)
_FITTED = 100_000
"""Most streamers that the ID head is solved on, drawn at random."""
_LEAST_TRUST = 1e-3  # keeps the regression solvable if no vector is trusted


class TaughtTask(Task):
    """Learns from warm streamers with content, validated on cold queries.

    The ID head does not influence the embedding. It is solved by ridge regression at the end, so
    every bundle can predict ID-embeddings, whatever the recipe.

    Attributes:
        rows: int64 (N,), data set rows of the training streamers.
        trust: float32 (N,), probability that each teacher vector is correct.
        left_out: (N, K), their `Stage.left_out`.
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
        self._warm = warm
        noise = stage.teacher.noise
        self.trust: NDArray[np.float32] = np.ones(len(self.rows), np.float32)
        if noise is not None:
            self.trust = noise.trust[warm]
        self.left_out = None if stage.left_out is None else stage.left_out[warm]
        self.encoder.id_scale.fill_(stage.teacher.scale)

    @cached_property
    def _directions(self) -> NDArray[np.float32]:
        """Unit vectors of the teacher (N, E)."""
        assert self._stage.teacher is not None
        return self._stage.teacher.directions[self._warm]

    def validate(self) -> float:
        """Mean of the held-out streamers' NDCG@20 among seen and among unseen streamers."""
        if self._validation is None:
            return math.nan
        task, rows = self._validation.among()
        return task.ndcg(embeddings(self._stage, rows))

    def encoder_replaced(self) -> None:
        """Solve for the ID head of the earlier weights."""
        self.finish()

    def finish(self) -> None:
        """Solve the ID head by ridge regression weighted by trust, strength by leave-one-out.

        With a kernel layer, the head reads embeddings as if each streamer were new.
        """
        head = self.encoder.id_head
        if head is None:
            return
        stage = self._stage
        fitted = sample(np.arange(len(self.rows)), _FITTED, stage.seed)
        rows = self.rows[fitted]
        new = None if self.left_out is None else self.left_out[fitted]
        bags = replace(stage.bags.take(rows), behaviour=new)
        z = all_rows(self.encoder, self.encoder.embed, bags, stage.usable[rows])
        ridge, vectors = RidgeCV(_STRENGTHS), self._vectors[fitted].astype(np.float64)
        ridge.fit(z.astype(np.float64), vectors, self.trust[fitted] + _LEAST_TRUST)
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(np.asarray(ridge.coef_)))
            head.bias.copy_(torch.from_numpy(np.asarray(ridge.intercept_)))
