"""Recipes that contrast on positives of behaviour."""

from dataclasses import dataclass
from typing import Literal

from training.config.base import TeacherConfig
from training.config.contrast import ContrastConfig
from training.config.self_supervised import MaskedViewsConfig


@dataclass(frozen=True)
class TransferConfig(MaskedViewsConfig, TeacherConfig):
    """Neighbours in the ID space, filtered by content, after a self-supervised start.

    The start is `masked-views`, with the settings of that recipe.

    Attributes:
        pretrain_steps: of the start, among `steps`; training never stops within them.
        neighbours: positives per streamer before the filter, its nearest in the ID space.
        filter: which neighbours are alike in content: by the edit distance of their texts, the
            cosine of the encoder before training (`similarity`), or the overlap of their tags;
            `random` keeps as many as `similarity`, blindly: the control of the filter.
        filter_form: drop the others (`hard`), or draw them the less the less they are alike.
        filter_quantile: the threshold is this quantile of random pairs.
    """

    steps: int = 800
    pretrain_steps: int = 100
    neighbours: int = 20
    filter: Literal["none", "edit-distance", "similarity", "tags", "random"] = "similarity"
    filter_form: Literal["hard", "soft"] = "soft"
    filter_quantile: float = 0.9


@dataclass(frozen=True)
class TransferPlusConfig(ContrastConfig, TeacherConfig):
    """Weighted positives from the ID space, filtered by content, plus regression to it.

    Attributes:
        neighbours: positives per streamer, its nearest by behaviour.
        audience_power: how fast a neighbour's weight falls with its share of the best audience
            cosine.
        id_temperature: how fast it falls with the ID cosine, where no audiences are known.
        content_floor: what is left of the weight of a positive of quite other content.
        negative_id_cosine, negative_content_cosine: pairs that are no positives but nearer than
            this are left out of the contrast, as likely false negatives; so are pairs that share
            an audience, where audiences are known.
        regression_weight: of the mean squared error to the ID-embedding.
        two_hop: who has fewer neighbours than `neighbours` is given neighbours of neighbours; the
            weight of the strongest of them beside its strongest neighbour. 0 = none.
        hard_negatives: who has fewer neighbours than `neighbours` is also told from one of so many
            nearest by content that behaviour does not bring near; 0 = from nobody in particular.
        hard_share: of a batch that these are, where all have so few neighbours.
    """

    token_dropout: float = 0.3
    temperature: float = 0.03
    learning_rate: float = 1.2e-3
    batch_size: int = 1024
    neighbours: int = 50
    audience_power: float = 1.0
    id_temperature: float = 0.1
    content_floor: float = 0.5
    negative_id_cosine: float = 0.7
    negative_content_cosine: float = 0.9
    regression_weight: float = 0.5
    two_hop: float = 0.3
    hard_negatives: int = 20
    hard_share: float = 0.25
    matryoshka: str = "32,64"
    text_tower: str = "auto"
