"""Settings of recipes with a contrastive loss."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from training.config.base import RecipeConfig
from training.errors import UsageError


@dataclass(frozen=True)
class ContrastConfig(RecipeConfig):
    """Settings of the contrastive loss.

    Attributes:
        contrast: `info-nce`, or `false-negative-mask` without likely false negatives.
        false_negative_cosine: for `false-negative-mask`, cosine of initial content vectors from
            which negatives are ignored.
        chunk_size: rows encoded at a time with the gradient of the whole batch (GradCache,
            Gao 2021); 0 = all at once.
        matryoshka: ascending shorter widths such as `32,64`, whose prefixes of the embedding are
            contrasted as well and can be served (Kusupati 2022). Widths that are not below `dim`
            are ignored; empty = none.
        matryoshka_weight: weight of each shorter width, relative to 1 for the full width.
    """

    contrast: Literal["info-nce", "false-negative-mask"] = "info-nce"
    false_negative_cosine: float = 0.9
    chunk_size: int = 0
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
                f"--set matryoshka={self.matryoshka}: needs ascending widths, such as 32,64"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """Shorter widths that are trained."""
        return shorter_widths(self.matryoshka, self.dim)


def shorter_widths(matryoshka: str, dim: int) -> tuple[int, ...]:
    """Widths of the setting that are below `dim`."""
    return tuple(width for width in _read(matryoshka) if width < dim)


def _read(matryoshka: str) -> tuple[int, ...]:
    return tuple(int(width) for width in matryoshka.split(",") if matryoshka)
