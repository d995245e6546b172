"""Kernel ridge regression from content to ID vectors."""

import numpy as np
from scipy.linalg import solve

from training.baselines.corpus import Corpus, dense_unit
from training.evaluation.subject import Representation
from training.numeric.blocks import blocks

_JITTER = 1e-6
"""Added to the diagonal of the Nystrom system, whose kernel may be singular."""


def kernel(corpus: Corpus, width: float, penalty: float, rank: int) -> Representation:
    """Kernel ridge regression (Saunders et al. 1998) to ID vectors, for queries and gallery.

    The kernel is exp(width (c - 1)), c the mean of content cosines of `Corpus.cosines`. It is exact
    if all known streamers are landmarks, else the Nystrom approximation (Williams & Seeger 2001).

    Args:
        corpus: the corpus.
        width: inverse width of the kernel.
        penalty: ridge penalty.
        rank: of the ID vectors.
    """
    rows, vectors = corpus.identities(rank)
    landmarks, cosines = corpus.cosines
    similar = cosines - np.float32(1)  # (N, M)
    similar *= np.float32(width)
    np.exp(similar, out=similar)
    inner = similar[landmarks].astype(np.float64)  # (M, M)
    if len(landmarks) == len(rows):
        inner.flat[:: len(inner) + 1] += penalty
        right = vectors.astype(np.float64)
    else:
        inner *= penalty
        inner.flat[:: len(inner) + 1] += _JITTER
        right = np.zeros((len(landmarks), vectors.shape[1]))
        for part in blocks(len(rows), len(landmarks)):
            known = similar[rows[part]].astype(np.float64)  # (b, M)
            inner += known.T @ known
            right += known.T @ vectors[part]
    dual = solve(inner, right, assume_a="pos", overwrite_a=True, overwrite_b=True)
    return Representation.symmetric(
        dense_unit(np.asarray(similar @ dual.astype(np.float32), np.float32))
    )
