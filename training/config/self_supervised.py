"""Recipes that need no behaviour."""

from dataclasses import dataclass
from typing import Literal

from training.config.base import RecipeConfig
from training.config.contrast import ContrastConfig
from training.errors import UsageError


@dataclass(frozen=True)
class MaskedViewsConfig(ContrastConfig):
    """Two masked views of a streamer find each other; needs no behaviour.

    Attributes:
        overlap: rho, the bound of the views' overlap (see `training.features.masked_views`).
        group_modality: probability that a draw moves whole modalities together.
    """

    overlap: float = 0.1
    group_modality: float = 0.3


@dataclass(frozen=True)
class MlmConfig(RecipeConfig):
    """The tokens of hidden pieces are predicted from the rest; needs no behaviour.

    Attributes:
        mask: probability that a piece, with its near-duplicates, is hidden.
        targets: at most so many hidden tokens of a streamer are predicted in a step.
        sample: tokens that stand for the whole vocabulary in a step.
        chunk_size: rows that are encoded at a time (GradCache, Gao 2021); 0 = all at once.
    """

    batch_size: int = 256
    mask: float = 0.3
    targets: int = 16
    sample: int = 1024
    chunk_size: int = 0


@dataclass(frozen=True)
class PtumConfig(RecipeConfig):
    """Videos and lives are predicted from the rest of a streamer (PTUM, Wu 2020).

    Attributes:
        next: K, so many last videos and lives are predicted from what came before.
        negatives: videos and lives of others that each one is told from.
        chunk_size: rows that are encoded at a time (GradCache, Gao 2021); 0 = all at once.
    """

    next: int = 2
    negatives: int = 4
    chunk_size: int = 0


@dataclass(frozen=True)
class SimcseConfig(ContrastConfig):
    """Two encodings of a streamer under dropout find each other, or it finds one that is alike.

    Attributes:
        positives: `dropout` needs nothing else. With `duplicates`, `labels` or `behaviour` a
            streamer finds another of its group or label, or one near to it by behaviour, beside
            hard negatives (supervised SimCSE).
        neighbours: `behaviour`: so many nearest of each are alike to it.
        hard_negatives: a hard negative is drawn from so many nearest by content that are not alike;
            0 = only the others in the batch are negatives.
    """

    token_dropout: float = 0.5
    temperature: float = 0.05
    positives: Literal["dropout", "duplicates", "labels", "behaviour"] = "dropout"
    neighbours: int = 20
    hard_negatives: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.positives == "dropout" and not (self.dropout > 0 or self.token_dropout > 0):
            raise UsageError(
                "--set dropout=0 token_dropout=0: both encodings would be the same; "
                "set one of them above 0, or other positives"
            )
