"""Settings common to all recipes, and to all recipes with a teacher."""

from dataclasses import dataclass, fields
from typing import Literal

from training.config.bounds import BOUNDS
from training.errors import UsageError

Clicks = Literal["shared", "private"]


@dataclass(frozen=True)
class RecipeConfig:
    """Settings of every recipe.

    Attributes:
        dim: width D of the embedding.
        table_dim: width of the token table, and rank of the SVD that initialises it.
        hidden_dim: hidden width of the MLP beside the fixed projection.
        content_dim: width C of the content sketch.
        max_tokens: size of the vocabulary, by frequency.
        min_document_frequency: tokens in fewer profiles are unknown.
        vector_weight: length of a projected ready-made vector, relative to 1 for the tokens.
        dropout: of the MLP's hidden units.
        token_dropout: probability that a token is dropped from a training row.
        modality_dropout: probability that all ready-made vectors, or all tokens, are dropped from a
            training row (never everything).
        learning_rate, weight_decay, clip_norm: AdamW with a cosine schedule and gradient clipping.
        warm_up: share of the steps in which the learning rate rises linearly from 0.
        steps: most training steps; the best one on validation is kept.
        evaluate_every: steps between validations.
        patience: validations without improvement before training stops.
        batch_size: rows per step (two per anchor).
        temperature: of the contrastive loss.
        refit: whether to train again on train + val for the number of steps chosen on val.
        text_tower: pretrained encoder of bios and titles, see `training.towers.registry`; `auto`
            decides on val, see `training.baselines.automatic_tower`.
        image_tower: pretrained encoder of avatars, covers and frames.
        audio_tower: pretrained encoder of sounds.
        clicks: `private` = learn and choose from ID-embeddings alone, as where clicks must not
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
    warm_up: float = 0.0
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
    clicks: Clicks = "shared"

    def __post_init__(self) -> None:
        """Check that every number is within its bounds.

        Raises:
            UsageError: a number is not; the message names it and its bounds.
        """
        for field in fields(self):
            value, bounds = getattr(self, field.name), BOUNDS.get(field.name)
            if bounds is not None and not bounds.allow(value):
                raise UsageError(f"--set {field.name}={value:g}: {bounds}")


@dataclass(frozen=True)
class TeacherConfig(RecipeConfig):
    """Settings of every recipe with a teacher.

    Attributes:
        teacher_dim, teacher_regularization, teacher_confidence, teacher_iterations: implicit ALS,
            used if no ID-embeddings are given.
        teacher_noise: injected label noise, for experiments: share of streamers whose ID-embedding
            and audience are swapped with another's.
        denoise: whether vectors that disagree with their streamer's content count less.
    """

    teacher_dim: int = 64
    teacher_regularization: float = 20.0
    teacher_confidence: float = 20.0
    teacher_iterations: int = 12
    teacher_noise: float = 0.0
    denoise: bool = True
