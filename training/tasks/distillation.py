"""The `kd-` recipes: knowledge distillation of the teacher's ID-embeddings into the encoder.

The student imitates the teacher's vectors (`kd-feature`), similarities (`kd-soft`), clusters
(`kd-pseudo-label`), or distances and angles (`kd-rkd`).

Deviations from the papers: there are no labels, so each loss stands alone, and inputs have token
dropout. `kd-feature` imitates final vectors, not a hidden layer. `kd-soft` has similarities within
the batch in place of class logits. `kd-pseudo-label` clusters the teacher once, where DeepCluster
clusters the student again and again. `kd-rkd` reads unit vectors of the teacher.
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
from training.evaluation.tasks import HeldOut
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
    """Distillation on batches of warm streamers with dropout."""

    def __init__(self, stage: Stage, config: _Config, validation: HeldOut | None) -> None:
        """Create the task.

        Args:
            stage: with a teacher.
            config: of the recipe.
            validation: validation tasks; None without validation.
        """
        super().__init__(stage, validation)
        self._config: _Config = config

    def losses(self, step: int) -> dict[str, Tensor]:
        """Losses of the recipe."""
        rng = step_generator(self._stage.seed, step)
        count = min(self._config.batch_size, len(self.rows))
        drawn = rng.choice(len(self.rows), count, replace=False)  # (B,)
        bags = drop_tokens(
            self._stage.bags.take(self.rows[drawn]), self.encoder.known, self._config, rng
        )
        return self._imitate(bags, drawn)

    @abstractmethod
    def _imitate(self, bags: Bags, drawn: NDArray[np.int64]) -> dict[str, Tensor]:
        """Losses of a batch of teacher places (B,)."""


class KdFeature(Distillation[KdFeatureConfig]):
    """Regression of the ID head to the direction of the ID-embedding (FitNets, Romero 2015)."""

    def _imitate(self, bags: Bags, drawn: NDArray[np.int64]) -> dict[str, Tensor]:
        assert self.encoder.id_head is not None
        predicted = self.encoder.id_head(self.encoder.embed(bags))  # (B, E)
        target = self.encoder.place(self._directions[drawn] * self._directions.shape[1] ** 0.5)
        return {"regression_loss": regression(predicted, target, target.new_ones(len(drawn)))}


class KdSoft(Distillation[KdSoftConfig]):
    """KL divergence between softened in-batch similarities of teacher and encoder."""

    def _imitate(self, bags: Bags, drawn: NDArray[np.int64]) -> dict[str, Tensor]:
        z = self.encoder.embed(bags)  # (B, D)
        v = self.encoder.place(self._directions[drawn])  # (B, E)
        tau, itself = self._config.temperature, torch.eye(len(z), dtype=torch.bool, device=z.device)
        loss = soft_label(z @ z.T / tau, v @ v.T / tau, itself, self._config.softening)
        return {"soft_label_loss": loss}


class KdPseudoLabel(Distillation[KdPseudoLabelConfig]):
    """Classification of the ID-embedding's k-means cluster by a linear head, not exported.

    Attributes:
        labels: int64 (N,), cluster of each streamer of the teacher.
    """

    def __init__(
        self, stage: Stage, config: KdPseudoLabelConfig, validation: HeldOut | None
    ) -> None:
        """Cluster the teacher's streamers; arguments like `Distillation`."""
        super().__init__(stage, config, validation)
        clusters = max(1, min(config.clusters, len(self.rows) // _LEAST_PER_CLUSTER))
        k_means = KMeans(clusters, random_state=stage.seed)
        with threadpool_limits(1):  # for a fixed order of summation
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
    """Relational distillation of distances and angles (RKD, Park 2019)."""

    def _imitate(self, bags: Bags, drawn: NDArray[np.int64]) -> dict[str, Tensor]:
        config, outputs = self._config, self.encoder.raw(bags)  # (B, D)
        v = self.encoder.place(self._directions[drawn])  # (B, E)
        return {
            "distance_loss": config.distance_weight * relational_distance(outputs, v),
            "angle_loss": config.angle_weight * relational_angle(outputs, v),
        }
