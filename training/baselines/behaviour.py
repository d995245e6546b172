"""Baselines that map content to behaviour."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from training.baselines.corpus import ID_RANK, Corpus, dense_unit
from training.evaluation.subject import Representation, SideBySide, paired_scores, top, unit

FULL = 0
"""Stands for the full audience vectors instead of a rank."""


def ridge(corpus: Corpus, penalty: float, rank: int) -> Representation:
    """Ridge regression from content to ID vectors, for queries and gallery."""
    return Representation.symmetric(_predict(corpus, penalty, rank))


def ridge_id(corpus: Corpus, penalty: float, rank: int) -> Representation:
    """Ridge regression for queries; gallery streamers keep their own ID vectors."""
    own = corpus.scattered(*corpus.identities(rank))
    return Representation(_predict(corpus, penalty, rank), own, reads_behaviour=True)


def _predict(corpus: Corpus, penalty: float, rank: int) -> NDArray[np.float32]:
    """Unit ID vectors of all streamers (N, <= rank), predicted from content."""
    rows, vectors = corpus.identities(rank)
    model = Ridge(alpha=penalty).fit(corpus.content[rows], vectors)
    return dense_unit(np.asarray(model.predict(corpus.content), np.float32))


def lexical_and_ridge(corpus: Corpus, weight: float, penalty: float) -> Representation:
    """Weighted sum of the TF-IDF and `ridge` scores."""
    weighted = np.float32(np.sqrt(weight)) * _predict(corpus, penalty, ID_RANK)
    return Representation.symmetric(SideBySide((corpus.lexical, weighted)))


def cca(corpus: Corpus, penalty: float, rank: int) -> Representation:
    """Canonical correlation of content and ID vectors (Hotelling 1936), regularised.

    Both sides are whitened with a penalty; the singular vectors of their cross-covariance are the
    canonical axes, weighted by their correlations. All streamers are represented by content.
    """
    rows, ids = corpus.identities(rank)
    centre, id_centre = corpus.content[rows].mean(0), ids.mean(0)
    content, ids = corpus.content - centre, ids - id_centre
    known = content[rows]
    whiten, whiten_ids = (_whitening(x, penalty) for x in (known, ids))
    axes, correlation, _ = np.linalg.svd(
        whiten.T @ (known.T @ ids / len(ids)) @ whiten_ids, full_matrices=False
    )
    return Representation.symmetric(dense_unit(content @ (whiten @ axes * correlation)))


def _whitening(x: NDArray[np.float32], penalty: float) -> NDArray[np.float32]:
    """Whitening W (K, K): W' (C + penalty mean(diag C) I) W = I, C the covariance of (M, K)."""
    covariance = x.T @ x / len(x)
    values, axes = np.linalg.eigh(covariance)
    return axes / np.sqrt(values.clip(0) + penalty * np.trace(covariance) / len(covariance))


def knn_id(corpus: Corpus, lenders_each: int, rank: int) -> Representation:
    """ID vectors of cold streamers by k-NN over content: similarity-weighted mean of neighbours.

    Warm streamers keep their own ID vectors.

    Args:
        corpus: the corpus.
        lenders_each: number of neighbours.
        rank: of the ID vectors; `FULL` = whole audiences, if known.
    """
    lenders, ids = _own_vectors(corpus, rank)
    cold = np.setdiff1d(np.arange(len(corpus.dataset.ids)), corpus.known)
    near = top(corpus.lexical[cold], corpus.lexical[lenders], lenders_each)
    asked = np.repeat(cold, near.shape[1])
    weights = paired_scores(corpus.lexical[asked], corpus.lexical[lenders[near.ravel()]])
    shares = np.concatenate([np.ones(len(lenders), np.float32), weights])
    to = np.concatenate([lenders, asked])
    of = np.concatenate([np.arange(len(lenders)), near.ravel()])
    lent = sp.csr_matrix((shares, (to, of)), (len(corpus.dataset.ids), len(lenders)))
    vectors = unit(lent @ ids)
    return Representation(vectors, vectors, reads_behaviour=True)


def _own_vectors(
    corpus: Corpus, rank: int
) -> tuple[NDArray[np.int64], NDArray[np.float32] | sp.csr_matrix]:
    """Rows with an ID vector (M,), and the vectors (M, K)."""
    if rank != FULL or corpus.watched is None:
        return corpus.identities(rank or ID_RANK)
    rows, _ = corpus.identity
    return rows, sp.csr_matrix(corpus.watched[rows])
