"""Baselines by a pretrained sentence encoder, not fine-tuned."""

import numpy as np

from training.baselines.corpus import Corpus, dense_unit
from training.evaluation.subject import Representation, SideBySide


def pretrained_text(corpus: Corpus) -> Representation:
    """Cosine of `Corpus.sentences`."""
    return Representation.symmetric(dense_unit(corpus.sentences))


def lexical_and_text(corpus: Corpus, weight: float) -> Representation:
    """Sum of the cosines by TF-IDF, by its SVD, and `weight` times that by `pretrained_text`.

    Weight 2, the default, gives the content cosine of `kernel`.
    """
    weighted = np.float32(np.sqrt(weight)) * dense_unit(corpus.sentences)
    return Representation.symmetric(
        SideBySide((corpus.lexical, dense_unit(corpus.reduced), weighted))
    )
