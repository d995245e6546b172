"""Recipes that need no behaviour."""

from dataclasses import dataclass

from training.config.contrast import ContrastConfig


@dataclass(frozen=True)
class MaskedViewsConfig(ContrastConfig):
    """Two masked views of a streamer find each other; needs no behaviour.

    Attributes:
        overlap: rho, the bound of the views' overlap (see `training.views`).
        group_modality: probability that a draw moves whole modalities together.
    """

    overlap: float = 0.1
    group_modality: float = 0.3
