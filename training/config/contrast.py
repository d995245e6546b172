"""What every recipe has that contrasts streamers within a batch."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from training.config.base import RecipeConfig
from training.errors import UsageError


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
        matryoshka: shorter widths, rising, as `32,64`: the first so many numbers of an embedding
            are contrasted as well, so that they can serve as one of their own (Kusupati 2022). A
            width that is not below `dim` is left out; empty = none.
        matryoshka_weight: of each of them, beside 1 for the full width.
    """

    contrast: Literal[
        "info-nce", "decoupled", "siglip", "debiased", "entmax", "false-negative-mask"
    ] = "info-nce"
    positive_prior: float = 0.01
    false_negative_cosine: float = 0.9
    chunk_size: int = 0
    memory: int = 0
    matryoshka: str = ""
    matryoshka_weight: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            widths = _read(self.matryoshka)
        except ValueError:
            widths = (0,)
        if any(low >= high for low, high in pairwise((0, *widths))):
            raise UsageError(
                f"--set matryoshka={self.matryoshka}: needs widths that rise, as 32,64, or nothing"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """The shorter widths that are trained."""
        return shorter_widths(self.matryoshka, self.dim)


def shorter_widths(matryoshka: str, dim: int) -> tuple[int, ...]:
    """The widths below `dim` among those of the setting."""
    return tuple(width for width in _read(matryoshka) if width < dim)


def _read(matryoshka: str) -> tuple[int, ...]:
    return tuple(int(width) for width in matryoshka.split(",") if matryoshka)
