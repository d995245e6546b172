"""What all recipes, and all that learn from behaviour, can be told."""

from dataclasses import dataclass, fields
from typing import Literal

from training.config.bounds import BOUNDS
from training.errors import UsageError

FUSION_HEADS = 4
"""Attention heads of the transformer."""


@dataclass(frozen=True)
class RecipeConfig:
    """What every recipe has.

    Attributes:
        dim: width D of the embedding.
        table_dim: width of the token table; its start is an SVD of this rank.
        hidden_dim: hidden width of the MLP beside the fixed projection.
        content_dim: width C of the fixed content sketch.
        max_tokens: the vocabulary keeps so many of the most frequent tokens.
        min_document_frequency: tokens in fewer profiles are unknown.
        vector_weight: length of a projected ready-made vector beside the unit token part.
        dropout: of the MLP's hidden units.
        token_dropout: probability that a token is hidden from a training view.
        modality_dropout: probability that all ready-made vectors, or all tokens of a modality,
            are hidden from a training view (never everything).
        learning_rate, weight_decay, clip_norm: AdamW on a cosine schedule, gradient norm clipped.
        steps: at most so many; the best one on validation is kept.
        evaluate_every: steps between validations.
        patience: validations without a better value before training stops.
        batch_size: rows per step (two per anchor).
        temperature: of the contrast.
        refit: train once more on train + val for the number of steps that validation chose.
        text_tower: a pretrained encoder whose vectors of bios and titles are read too, see
            `training.towers.registry`; `auto`: see `training.towers.automatic`.
        image_tower: likewise, of avatars, covers and frames.
        audio_tower: likewise, of sounds.
        fusion: how pieces come together, see `training.models.fusion`. Other than with `sum`,
            `modality_dropout` hides each modality by itself.
        fusion_dim: width of the transformer, a multiple of its 4 heads.
        fusion_layers: of the transformer.
    """

    dim: int = 128
    table_dim: int = 256
    hidden_dim: int = 512
    content_dim: int = 256
    max_tokens: int = 65536
    min_document_frequency: int = 2
    vector_weight: float = 0.7
    dropout: float = 0.2
    token_dropout: float = 0.2
    modality_dropout: float = 0.1
    learning_rate: float = 7e-4
    weight_decay: float = 1e-3
    clip_norm: float = 1.0
    steps: int = 500
    evaluate_every: int = 50
    patience: int = 4
    batch_size: int = 512
    temperature: float = 0.07
    refit: bool = True
    text_tower: str = ""
    image_tower: str = ""
    audio_tower: str = ""
    fusion: Literal["sum", "recency", "transformer"] = "sum"
    fusion_dim: int = 64
    fusion_layers: int = 1

    def __post_init__(self) -> None:
        """See that every number is within its bounds.

        Raises:
            UsageError: one is not; it is named with what it may be.
        """
        for field in fields(self):
            value, bounds = getattr(self, field.name), BOUNDS.get(field.name)
            if bounds is not None and not bounds.allow(value):
                raise UsageError(f"--set {field.name}={value:g}: {bounds}")
        if self.fusion_dim % FUSION_HEADS:
            raise UsageError(
                f"--set fusion_dim={self.fusion_dim}: must be a multiple of {FUSION_HEADS}"
            )


@dataclass(frozen=True)
class TeacherConfig(RecipeConfig):
    """What every recipe has that learns from behaviour.

    Attributes:
        teacher_dim, teacher_regularization, teacher_confidence, teacher_iterations: implicit ALS,
            used when no ID-embeddings are given.
        teacher_noise: share of its streamers whose ID-embedding and audience are swapped with
            another's before anything is learned from them: how much error a recipe withstands.
        denoise: count vectors less that don't agree with what their streamers show.
    """

    teacher_dim: int = 64
    teacher_regularization: float = 20.0
    teacher_confidence: float = 20.0
    teacher_iterations: int = 12
    teacher_noise: float = 0.0
    denoise: bool = True
