"""Recipes that distil ID-embeddings, each another way, into the encoder."""

from dataclasses import dataclass

from training.config.base import TeacherConfig


@dataclass(frozen=True)
class KdFeatureConfig(TeacherConfig):
    """The ID-embedding is predicted from the embedding (FitNets, Romero 2015)."""


@dataclass(frozen=True)
class KdSoftConfig(TeacherConfig):
    """Similarities within a batch are as the teacher's are (Hinton 2015).

    Both sides' cosines are divided by `temperature` to be logits.

    Attributes:
        softening: T, by which the logits of both sides are divided again.
    """

    softening: float = 4.0


@dataclass(frozen=True)
class KdPseudoLabelConfig(TeacherConfig):
    """The cluster of the ID-embedding is told from the embedding.

    Attributes:
        clusters: of k-means; fewer where they would have less than ten streamers on average.
    """

    clusters: int = 256


@dataclass(frozen=True)
class KdRkdConfig(TeacherConfig):
    """Distances and angles are as the teacher's are (RKD, Park 2019).

    Attributes:
        distance_weight, angle_weight: of the two losses.
    """

    batch_size: int = 64  # memory and time grow with its cube
    learning_rate: float = 2e-3
    distance_weight: float = 1.0
    angle_weight: float = 2.0
