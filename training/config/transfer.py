"""Recipes that contrast on positives of behaviour."""

from dataclasses import dataclass

from training.config.base import TeacherConfig


@dataclass(frozen=True)
class TransferPlusConfig(TeacherConfig):
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
    """

    token_dropout: float = 0.3
    temperature: float = 0.03
    neighbours: int = 50
    audience_power: float = 1.0
    id_temperature: float = 0.1
    content_floor: float = 0.5
    negative_id_cosine: float = 0.7
    negative_content_cosine: float = 0.9
    regression_weight: float = 0.5
