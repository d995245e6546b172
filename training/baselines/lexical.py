"""Lexical baselines: TF-IDF, BM25 and truncated SVD."""

import numpy as np
import scipy.sparse as sp

from training.baselines.corpus import Corpus, dense_unit
from training.evaluation.subject import Representation


def tf_idf_cosine(corpus: Corpus) -> Representation:
    """Cosine of TF-IDF rows."""
    return Representation.symmetric(corpus.lexical)


def bm25(corpus: Corpus, k1: float, b: float) -> Representation:
    """Okapi BM25 (Robertson & Zaragoza 2009) between the tokens of two profiles."""
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


def svd(corpus: Corpus, rank: int) -> Representation:
    """Cosine on the leading singular vectors of TF-IDF."""
    return Representation.symmetric(dense_unit(corpus.reduced[:, :rank]))
