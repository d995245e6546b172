"""Settings of baselines."""

from dataclasses import dataclass

from training.config.base import Clicks


@dataclass(frozen=True)
class BaselineConfig:
    """What a baseline may read, like the recipes.

    Attributes:
        text_tower: pretrained text encoder, see `training.towers.registry`; `auto` decides on
            val, empty for none.
        clicks: whether audiences are known, see `RecipeConfig`.
    """

    text_tower: str = "auto"
    clicks: Clicks = "shared"
