"""Settings of recipes that contrast behavioural neighbours."""

from dataclasses import dataclass
from typing import Literal

from training.config.base import TeacherConfig
from training.config.contrast import ContrastConfig
from training.config.self_supervised import MaskedViewsConfig


@dataclass(frozen=True)
class TransferConfig(MaskedViewsConfig, TeacherConfig):
    """Contrast of neighbours in the ID space, filtered by content, after pretraining.

    The pretraining is `masked-views`, with the settings of that recipe.

    Attributes:
        pretrain_steps: steps of the pretraining, included in `steps`; no early stopping within.
        neighbours: positives per streamer before the filter, nearest in the ID space.
        filter: content similarity of the filter: edit distance of texts, cosine of initial content
            vectors (`similarity`) or overlap of tags; `random` keeps as many as `similarity` at
            random, as a control.
        filter_form: `hard` drops dissimilar neighbours, `soft` draws them less often.
        filter_quantile: quantile of random pairs that is the threshold.
    """

    steps: int = 800
    pretrain_steps: int = 100
    vector_doublings: int = 0
    neighbours: int = 20
    filter: Literal["none", "edit-distance", "similarity", "tags", "random"] = "similarity"
    filter_form: Literal["hard", "soft"] = "soft"
    filter_quantile: float = 0.9


@dataclass(frozen=True)
class TransferPlusConfig(ContrastConfig, TeacherConfig):
    """Multi-positive contrast of behavioural neighbours, in two branches.

    One branch starts from the SVD of the tokens, and is trained to predict the ID-embedding too;
    the other starts from kernel ridge. Their cosines are added, weighed as is best on validation.

    Attributes:
        neighbours: positives per streamer, nearest by behaviour.
        audience_power: exponent of a neighbour's share of the best audience cosine.
        id_temperature: temperature of the weights by ID cosine, if audiences are unknown.
        content_floor: factor for the weight of a positive with unrelated content; 1 = content does
            not matter.
        negative_id_cosine, negative_content_cosine: cosines from which pairs that are no positives
            are ignored as likely false negatives; so are pairs that share an audience.
        regression_weight: weight of the squared error to the ID-embedding.
        two_hop: weight of the best two-hop neighbour, relative to the best neighbour, for
            streamers with fewer than `neighbours` neighbours; 0 = none.
        hard_negatives: candidates of the hard negative of streamers with fewer than `neighbours`
            neighbours: nearest by content, not related by behaviour; 0 = none.
        hard_share: share of hard negatives in a batch if all streamers have few neighbours.
        kernel_landmarks: most landmarks of the kernel branch, see `training.models.kernel_layer`.
            All streamers are landmarks if there are no more, otherwise at most 4,096 of them; 0 =
            without that branch.
        kernel_rank: width of the behaviour that it predicts.
        kernel_table_dim: width of its token table, less for a large vocabulary.
        kernel_hidden_dim, kernel_dropout, kernel_temperature: of the branch.
        kernel_learning_rate, kernel_weight_decay: of the branch.
    """

    dim: int = 256
    token_dropout: float = 0.3
    temperature: float = 0.03
    learning_rate: float = 1.2e-3
    batch_size: int = 1024
    neighbours: int = 50
    audience_power: float = 1.0
    id_temperature: float = 0.1
    content_floor: float = 1.0
    negative_id_cosine: float = 0.7
    negative_content_cosine: float = 0.9
    regression_weight: float = 0.5
    two_hop: float = 0.3
    hard_negatives: int = 20
    hard_share: float = 0.25
    matryoshka: str = "64,128"
    text_tower: str = "auto"
    kernel_landmarks: int = 8192
    kernel_rank: int = 256
    kernel_table_dim: int = 1024
    kernel_hidden_dim: int = 256
    kernel_dropout: float = 0.5
    kernel_temperature: float = 0.07
    kernel_learning_rate: float = 3e-4
    kernel_weight_decay: float = 1e-2
