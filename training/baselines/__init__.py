"""Baselines for comparison with trained encoders, fitted on known streamers only."""

from training.baselines.automatic_tower import AUTO, TowerChoice, choose_text_tower
from training.baselines.corpus import Corpus
from training.baselines.reading import corpus_of
from training.baselines.registry import BASELINES, Baseline, find_baseline

__all__ = [
    "AUTO",
    "BASELINES",
    "Baseline",
    "Corpus",
    "TowerChoice",
    "choose_text_tower",
    "corpus_of",
    "find_baseline",
]
