"""Content filters: which neighbours by behaviour are alike in content too.

A similarity says how alike the two streamers of each pair are, or NaN where it can't tell, as of
texts when one of them has none. It is compared with a threshold taken from random pairs, which are
mostly unlike. A pair that can't be told apart stands exactly at the threshold: the filter drops
what content refutes, and lack of content refutes nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cpdist
from scipy.special import expit

from model_export.contract.pieces import Piece
from model_export.contract.text import canonical, normalise
from training.numeric.blocks import blocks

Rows = NDArray[np.int64]
Similarity = Callable[[Rows, Rows], NDArray[np.float32]]
"""Left and right rows of M pairs -> their similarity (M,), NaN where it can't be told."""
Form = Literal["hard", "soft"]

LONGEST_TEXT = 1000
"""Characters of a streamer that are compared: time grows with their square."""
_WIDTH = 1024
"""Numbers or characters of a pair that are in memory at a time."""


def text_of(pieces: Iterable[Piece]) -> str:
    """The words of the name, the bio, the titles and the tags."""
    words = (canonical(piece.text) for piece in pieces if piece.kind in ("text", "tag"))
    return " ".join(word for word in words if word)[:LONGEST_TEXT]


def tags_of(pieces: Iterable[Piece]) -> frozenset[str]:
    """The distinct tags, of the streamer and its videos."""
    tags = (normalise(piece.text) for piece in pieces if piece.kind == "tag")
    return frozenset(tag for tag in tags if tag)


def edit_similarity(texts: Sequence[str], threads: int) -> Similarity:
    """1 - Levenshtein distance / length of the longer text; can't tell without a text."""

    def similarity(left: Rows, right: Rows) -> NDArray[np.float32]:
        one, other = ([texts[row] for row in rows] for rows in (left, right))
        score = Levenshtein.normalized_similarity
        found = cpdist(one, other, scorer=score, dtype=np.float32, workers=threads)
        empty = [not (a and b) for a, b in zip(one, other, strict=True)]
        return np.where(empty, np.float32(np.nan), np.asarray(found).ravel())

    return similarity


def tag_similarity(tags: Sequence[frozenset[str]]) -> Similarity:
    """Jaccard similarity of tag sets; can't tell without a tag."""
    column = {tag: i for i, tag in enumerate(sorted(frozenset().union(*tags)))}
    indptr = np.cumsum([0, *map(len, tags)])
    indices = np.array([column[tag] for each in tags for tag in sorted(each)], np.int64)
    shape = len(tags), len(column)
    has = sp.csr_matrix((np.ones(len(indices), np.float32), indices, indptr), shape=shape)
    size = np.diff(indptr)

    def similarity(left: Rows, right: Rows) -> NDArray[np.float32]:
        shared = np.asarray(has[left].multiply(has[right]).sum(1)).ravel()
        union = size[left] + size[right] - shared
        empty = (size[left] == 0) | (size[right] == 0)
        return np.where(empty, np.nan, shared / np.maximum(union, 1)).astype(np.float32)

    return similarity


def cosine_similarity(vectors: NDArray[np.float32]) -> Similarity:
    """Cosine of unit vectors (N, H); a zero vector can't tell."""
    present: NDArray[np.bool_] = np.asarray(vectors.any(1))

    def similarity(left: Rows, right: Rows) -> NDArray[np.float32]:
        cosine = np.einsum("mh,mh->m", vectors[left], vectors[right])
        return np.where(present[left] & present[right], cosine, np.float32(np.nan))

    return similarity


def passed(
    near: Rows, similarity: Similarity, quantile: float, form: Form, rng: np.random.Generator
) -> NDArray[np.float32]:
    """How far each candidate passes the filter (N, K), in [0, 1].

    theta is the quantile of the similarities of random pairs, and never so low that a pair with
    nothing in common would pass. `hard`: 1 from theta on, 0 below. `soft`: the logistic function of
    (similarity - theta) / (.25 std), 1/2 at theta.

    Args:
        near: the candidates (N, K) of each of N streamers.
        similarity: of any two of them.
        quantile: in [0, 1].
        form: of the filter.
        rng: of the random pairs.
    """
    rows, count = near.shape
    left = np.repeat(np.arange(rows), count)
    alike = _of_pairs(similarity, left, near.ravel()).reshape(near.shape)  # (N, K)
    known = ~np.isnan(alike)
    other = rng.permutation(rows)
    distinct = np.flatnonzero(other != np.arange(rows))
    random = _of_pairs(similarity, distinct, other[distinct])
    random = random[~np.isnan(random)]
    something = alike[known & (alike > 0)].min(initial=np.inf)
    theta = max(float(np.quantile(random, quantile)) if len(random) else 0.0, float(something))
    spread = max(0.25 * float(alike[known].std()) if known.any() else 0.0, 1e-3)
    margin = np.where(known, (alike - theta) / spread, 0)
    return (margin >= 0 if form == "hard" else expit(margin)).astype(np.float32)


def shuffled(weights: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """The same weights (N, K) on candidates drawn at random: what filtering at random would keep.

    The control of a filter: equal in size, and blind.
    """
    return rng.permutation(weights.ravel()).reshape(weights.shape)


def _of_pairs(similarity: Similarity, left: Rows, right: Rows) -> NDArray[np.float32]:
    found = np.zeros(len(left), np.float32)
    for part in blocks(len(left), _WIDTH):
        found[part] = similarity(left[part], right[part])
    return found
