"""What every recipe has that contrasts streamers within a batch."""

from dataclasses import dataclass
from typing import Literal

from training.config.base import RecipeConfig


@dataclass(frozen=True)
class ContrastConfig(RecipeConfig):
    """Which contrast, and how a large one is paid for.

    Attributes:
        contrast: a variant of InfoNCE, see `training.tasks.contrast`.
        positive_prior: `debiased`: probability that a negative is alike after all.
        false_negative_cosine: `false-negative-mask`: negatives whose content was as near as this
            before training are left out.
        chunk_size: rows that are encoded at a time, with the gradient of the whole batch
            (GradCache, Gao 2021); 0 = all at once.
        memory: so many embeddings of past batches are negatives too (cross-batch memory,
            Wang 2020); 0 = none.
    """

    contrast: Literal["info-nce", "decoupled", "siglip", "debiased", "false-negative-mask"] = (
        "info-nce"
    )
    positive_prior: float = 0.01
    false_negative_cosine: float = 0.9
    chunk_size: int = 0
    memory: int = 0
