"""Baselines that map content to behaviour."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from training.baselines.choice import best_fit
from training.baselines.corpus import ID_RANK, Corpus, dense_unit
from training.evaluation.subject import Representation, SideBySide, paired_scores, top, unit

FULL = 0
"""Stands for the full audience vectors instead of a rank."""
_PENALTIES = (3.0, 0.3, 1.0, 10.0, 30.0)


def ridge(corpus: Corpus) -> Representation:
    """Ridge regression from content to ID vectors, for queries and gallery.

    The penalty is chosen on validation.
    """
    return best_fit(corpus, _PENALTIES, lambda c, p: Representation.symmetric(_predict(c, p)))


def ridge_id(corpus: Corpus) -> Representation:
    """Ridge regression for queries; gallery streamers keep their own ID vectors."""

    def fit(fitted: Corpus, penalty: float) -> Representation:
        own = fitted.scattered(*fitted.identities(ID_RANK))
        return Representation(_predict(fitted, penalty), own, reads_behaviour=True)

    return best_fit(corpus, _PENALTIES, fit)


def _predict(corpus: Corpus, penalty: float) -> NDArray[np.float32]:
    """Unit ID vectors of all streamers (N, K), predicted from content."""
    rows, vectors = corpus.identities(ID_RANK)
    model = Ridge(alpha=penalty).fit(corpus.content[rows], vectors)
    return dense_unit(np.asarray(model.predict(corpus.content), np.float32))


def lexical_and_ridge(corpus: Corpus) -> Representation:
    """Sum of the TF-IDF and `ridge` scores, with a weight chosen on validation."""
    vectors = {id(each): ridge(each).query for each in (corpus, corpus.selection)}

    def fit(fitted: Corpus, weight: float) -> Representation:
        regression = vectors[id(fitted)]
        assert isinstance(regression, np.ndarray)
        weighted = np.float32(np.sqrt(weight)) * regression
        return Representation.symmetric(SideBySide((fitted.lexical, weighted)))

    return best_fit(corpus, (1.0, 0.25, 0.5, 2.0, 4.0, 8.0), fit)


def cca(corpus: Corpus) -> Representation:
    """Canonical correlation of content and ID vectors (Hotelling 1936), regularised.

    Both sides are whitened with a penalty; the singular vectors of their cross-covariance are the
    canonical axes, weighted by their correlations. All streamers are represented by content.
    Penalty and rank are chosen on validation.
    """
    return best_fit(corpus, [(p, rank) for rank in (64, 256) for p in (1e-1, 1e-2, 1.0)], _cca)


def _cca(corpus: Corpus, option: tuple[float, int]) -> Representation:
    penalty, rank = option
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


def knn_id(corpus: Corpus) -> Representation:
    """ID vectors of cold streamers by k-NN over content: similarity-weighted mean of neighbours.

    Warm streamers keep their own ID vectors. The number of neighbours and the rank of the ID
    vectors are chosen on validation.
    """
    ranks = (FULL, ID_RANK) if corpus.watched is not None else (ID_RANK,)
    return best_fit(corpus, [(k, rank) for rank in ranks for k in (20, 50, 150)], _knn_id)


def _knn_id(corpus: Corpus, option: tuple[int, int]) -> Representation:
    lenders_each, rank = option
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
        return corpus.identities(rank)
    rows, _ = corpus.identity
    return rows, sp.csr_matrix(corpus.watched[rows])
