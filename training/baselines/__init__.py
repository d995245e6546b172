"""What a trained encoder must beat, fitted on known streamers only; all by name in `BASELINES`."""

from training.baselines.corpus import Corpus, corpus_of
from training.baselines.registry import BASELINES, Baseline, find_baseline

__all__ = ["BASELINES", "Baseline", "Corpus", "corpus_of", "find_baseline"]
