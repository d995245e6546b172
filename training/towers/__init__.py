"""Towers: pretrained, frozen encoders of single pieces (`model_export.contract.towers`)."""

from training.towers.base import Tower
from training.towers.cache import cache_folder
from training.towers.reader import TowerReader
from training.towers.registry import configured_towers, find_tower, towers_again

__all__ = [
    "Tower",
    "TowerReader",
    "cache_folder",
    "configured_towers",
    "find_tower",
    "towers_again",
]
