"""Lexical baselines: TF-IDF, BM25 and truncated SVD."""

import numpy as np
import scipy.sparse as sp

from training.baselines.choice import best_fit
from training.baselines.corpus import Corpus, dense_unit
from training.evaluation.subject import Representation

RANKS = (256, 128, 64)
SATURATIONS = (1.2, 0.6, 2.5)
LENGTH_PENALTIES = (0.75, 0.3, 0.0)


def tf_idf_cosine(corpus: Corpus) -> Representation:
    """Cosine of TF-IDF rows."""
    return Representation.symmetric(corpus.lexical)


def bm25(corpus: Corpus) -> Representation:
    """Okapi BM25 (Robertson & Zaragoza 2009) between the tokens of two profiles.

    The parameters k1 and b are chosen on validation.
    """
    options = [(k1, b) for k1 in SATURATIONS for b in LENGTH_PENALTIES]
    return best_fit(corpus, options, _bm25)


def _bm25(corpus: Corpus, option: tuple[float, float]) -> Representation:
    k1, b = option
    known = len(corpus.vocabulary.tokens)
    bags = corpus.bags.keep((corpus.bags.ids > 0) & (corpus.bags.ids <= known))
    counts = sp.csr_matrix(
        (bags.counts.astype(np.float32), bags.ids, bags.indptr), (len(bags), 1 + known)
    )
    counts.sum_duplicates()
    length = np.asarray(counts.sum(1)).ravel()
    relative = length / max(float(length[corpus.known].mean()), 1e-9)
    row = np.repeat(np.arange(len(bags)), np.diff(counts.indptr))
    saturated = counts.copy()
    saturated.data = counts.data * (k1 + 1) / (counts.data + k1 * (1 - b + b * relative[row]))
    df = np.bincount(counts[corpus.known].indices, minlength=1 + known)
    idf = np.log1p((len(corpus.known) - df + 0.5) / (df + 0.5))
    query = sp.csr_matrix(counts @ sp.diags_array(idf.astype(np.float32)))
    return Representation(query, saturated)


def svd(corpus: Corpus) -> Representation:
    """Cosine on leading singular vectors of TF-IDF, with a rank chosen on validation."""
    return best_fit(
        corpus, RANKS, lambda c, rank: Representation.symmetric(dense_unit(c.reduced[:, :rank]))
    )
