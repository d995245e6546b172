"""Settings of recipes that need no behaviour."""

from dataclasses import dataclass
from typing import Literal

from training.config.base import RecipeConfig
from training.config.contrast import ContrastConfig
from training.errors import UsageError


@dataclass(frozen=True)
class SelfSupervisedConfig(RecipeConfig):
    """Settings of every recipe that needs no behaviour.

    Attributes:
        vector_doublings: most times that `vector_weight` is doubled before training, which is done
            while two views of a streamer of val then find each other better.
    """

    vector_doublings: int = 2


@dataclass(frozen=True)
class MaskedViewsConfig(ContrastConfig, SelfSupervisedConfig):
    """Contrast of two masked views of a streamer.

    Attributes:
        overlap: rho, bound of the views' overlap (see `training.features.masked_views`).
        group_modality: probability that a draw moves whole modalities together.
    """

    overlap: float = 0.1
    group_modality: float = 0.3


@dataclass(frozen=True)
class MlmConfig(SelfSupervisedConfig):
    """Masked-token prediction.

    Attributes:
        mask: probability that a piece is masked, together with its near-duplicates.
        targets: most masked tokens predicted per streamer and step.
        sample: tokens of the sampled softmax.
        chunk_size: rows encoded at a time (GradCache, Gao 2021); 0 = all at once.
    """

    batch_size: int = 256
    mask: float = 0.3
    targets: int = 16
    sample: int = 1024
    chunk_size: int = 0


@dataclass(frozen=True)
class PtumConfig(SelfSupervisedConfig):
    """Masked and next behaviour prediction over videos and lives (PTUM, Wu 2020).

    Attributes:
        next: K, number of last videos and lives predicted from the earlier ones.
        negatives: videos and lives of other streamers per prediction.
        chunk_size: rows encoded at a time (GradCache, Gao 2021); 0 = all at once.
    """

    next: int = 2
    negatives: int = 4
    chunk_size: int = 0


@dataclass(frozen=True)
class SimcseConfig(ContrastConfig, SelfSupervisedConfig):
    """Contrast of dropout twins, or of related streamers (SimCSE, Gao 2021).

    Dropout is that of the paper: of hidden units, with the same input twice.

    Attributes:
        positives: `dropout` for twins; `duplicates`, `labels` or `behaviour` for supervised pairs
            with hard negatives.
        neighbours: for `behaviour`, number of neighbours that are positives.
        hard_negatives: number of nearest unrelated streamers by content, from which a hard negative
            is drawn; 0 = in-batch negatives only.
    """

    dropout: float = 0.1
    token_dropout: float = 0.0
    modality_dropout: float = 0.0
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
