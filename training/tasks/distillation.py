"""The `kd-` recipes: the teacher's ID-embeddings distilled into the encoder.

They differ in what of the teacher is imitated: its vectors (`kd-feature`), whom it finds alike
(`kd-soft`), its clusters (`kd-pseudo-label`), or its distances and angles (`kd-rkd`).
"""

from abc import abstractmethod
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from training.config import (
    KdFeatureConfig,
    KdPseudoLabelConfig,
    KdRkdConfig,
    KdSoftConfig,
    TeacherConfig,
)
from training.evaluation.tasks import ColdStartTask
from training.features.bags import Bags
from training.features.dropout import drop_tokens
from training.losses.pseudo_label import pseudo_label
from training.losses.regression import regression
from training.losses.relational_angle import relational_angle
from training.losses.relational_distance import relational_distance
from training.losses.soft_label import soft_label
from training.preparation.stage import Stage
from training.tasks.base import step_generator
from training.tasks.taught import TaughtTask

_Config = TypeVar("_Config", bound=TeacherConfig)
_LEAST_PER_CLUSTER = 10


class Distillation(TaughtTask, Generic[_Config]):
    """Imitates the teacher on a batch of warm streamers, of which a part is hidden."""

    def __init__(self, stage: Stage, config: _Config, validation: ColdStartTask | None) -> None:
        """See `TaughtTask`.

        Args:
            stage: with a teacher.
            config: of the recipe.
            validation: cold streamers to watch; None when nothing is held out.
        """
        super().__init__(stage, validation)
        self._config: _Config = config

    def losses(self, step: int) -> dict[str, Tensor]:
        """The loss, or losses, of the recipe."""
        rng = step_generator(self._stage.seed, step)
        count = min(self._config.batch_size, len(self.rows))
        drawn = rng.choice(len(self.rows), count, replace=False)  # (B,)
        bags = drop_tokens(self._stage.bags.take(self.rows[drawn]), self._config, rng)
        return self._imitate(bags, drawn)

    @abstractmethod
    def _imitate(self, bags: Bags, drawn: NDArray[np.int64]) -> dict[str, Tensor]:
        """The losses of a batch (B,), of the teacher's places drawn."""


class KdFeature(Distillation[KdFeatureConfig]):
    """Regression from the embedding to the direction of the ID-embedding, by the ID head."""

    def _imitate(self, bags: Bags, drawn: NDArray[np.int64]) -> dict[str, Tensor]:
        assert self.encoder.id_head is not None
        predicted = self.encoder.id_head(self.encoder.embed(bags))  # (B, E)
        target = self.encoder.place(self._directions[drawn] * self._directions.shape[1] ** 0.5)
        return {"regression_loss": regression(predicted, target, target.new_ones(len(drawn)))}


class KdSoft(Distillation[KdSoftConfig]):
    """KL from the teacher's similarities in the batch to the encoder's, both softened."""

    def _imitate(self, bags: Bags, drawn: NDArray[np.int64]) -> dict[str, Tensor]:
        z = self.encoder.embed(bags)  # (B, D)
        v = self.encoder.place(self._directions[drawn])  # (B, E)
        tau, itself = self._config.temperature, torch.eye(len(z), dtype=torch.bool, device=z.device)
        loss = soft_label(z @ z.T / tau, v @ v.T / tau, itself, self._config.softening)
        return {"soft_label_loss": loss}


class KdPseudoLabel(Distillation[KdPseudoLabelConfig]):
    """A linear head tells the cluster of the ID-embedding; it is not exported.

    Attributes:
        labels: int64 (N,), the cluster of each streamer of the teacher.
    """

    def __init__(
        self, stage: Stage, config: KdPseudoLabelConfig, validation: ColdStartTask | None
    ) -> None:
        """Cluster the teacher's streamers; see `Distillation`."""
        super().__init__(stage, config, validation)
        clusters = max(1, min(config.clusters, len(self.rows) // _LEAST_PER_CLUSTER))
        k_means = KMeans(clusters, random_state=stage.seed)
        with threadpool_limits(1):  # threads would add up in any order
            self.labels: NDArray[np.int64] = k_means.fit_predict(self._directions).astype(np.int64)
        self._head = nn.Linear(config.dim, clusters)
        nn.init.zeros_(self._head.weight)
        nn.init.zeros_(self._head.bias)
        self.train_with(head=self._head)

    def _imitate(self, bags: Bags, drawn: NDArray[np.int64]) -> dict[str, Tensor]:
        z = self.encoder.embed(bags)  # (B, D)
        logits = self._head(z / self._config.temperature)  # (B, K)
        return {"pseudo_label_loss": pseudo_label(logits, self.encoder.place(self.labels[drawn]))}


class KdRkd(Distillation[KdRkdConfig]):
    """Relations between outputs that are not normalised, as between the teacher's directions."""

    def _imitate(self, bags: Bags, drawn: NDArray[np.int64]) -> dict[str, Tensor]:
        config, outputs = self._config, self.encoder.raw(bags)  # (B, D)
        v = self.encoder.place(self._directions[drawn])  # (B, E)
        return {
            "distance_loss": config.distance_weight * relational_distance(outputs, v),
            "angle_loss": config.angle_weight * relational_angle(outputs, v),
        }
