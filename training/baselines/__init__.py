"""Baselines for comparison with trained encoders, fitted on known streamers only."""

from training.baselines.corpus import Corpus, corpus_of
from training.baselines.registry import BASELINES, Baseline, find_baseline

__all__ = ["BASELINES", "Baseline", "Corpus", "corpus_of", "find_baseline"]
