"""Settings of the distillation recipes."""

from dataclasses import dataclass

from training.config.base import TeacherConfig


@dataclass(frozen=True)
class KdFeatureConfig(TeacherConfig):
    """Regression of the ID-embedding from the embedding (FitNets, Romero 2015)."""


@dataclass(frozen=True)
class KdSoftConfig(TeacherConfig):
    """Soft labels: in-batch similarities of the teacher (Hinton 2015).

    Logits are cosines divided by `temperature`.

    Attributes:
        softening: T, by which the logits of both sides are divided.
    """

    softening: float = 4.0


@dataclass(frozen=True)
class KdPseudoLabelConfig(TeacherConfig):
    """Pseudo-labels: k-means clusters of the ID-embeddings.

    Attributes:
        clusters: number of clusters, reduced to at least ten streamers per cluster on average.
    """

    clusters: int = 256


@dataclass(frozen=True)
class KdRkdConfig(TeacherConfig):
    """Relational distillation of distances and angles (RKD, Park 2019).

    Attributes:
        distance_weight, angle_weight: weights of the two losses.
    """

    batch_size: int = 64  # memory and time grow with its cube
    learning_rate: float = 2e-3
    distance_weight: float = 1.0
    angle_weight: float = 2.0
