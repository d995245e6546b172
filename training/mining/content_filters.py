"""Content filters: keep behavioural neighbours whose content is similar as well.

A similarity function scores pairs of streamers, with NaN where it can't, such as for texts of a
streamer without text. Scores are compared with a threshold from random pairs, most of which are
unrelated. Pairs with NaN count as exactly at the threshold: the filter drops pairs that content
contradicts, and missing content contradicts nothing.
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
"""Left and right rows of M pairs -> similarities (M,), NaN where undefined."""
Form = Literal["hard", "soft"]

LONGEST_TEXT = 1000
"""Most characters compared per streamer, since the time grows with their square."""
_WIDTH = 1024
"""Estimated numbers or characters per pair, which sets the block size."""


def text_of(pieces: Iterable[Piece]) -> str:
    """Words of name, bio, titles and tags, joined by blanks."""
    words = (canonical(piece.text) for piece in pieces if piece.kind in ("text", "tag"))
    return " ".join(word for word in words if word)[:LONGEST_TEXT]


def tags_of(pieces: Iterable[Piece]) -> frozenset[str]:
    """Distinct tags of the streamer and its videos."""
    tags = (normalise(piece.text) for piece in pieces if piece.kind == "tag")
    return frozenset(tag for tag in tags if tag)


def edit_similarity(texts: Sequence[str], threads: int) -> Similarity:
    """Edit similarity: 1 - Levenshtein distance / length of the longer text; NaN without text."""

    def similarity(left: Rows, right: Rows) -> NDArray[np.float32]:
        one, other = ([texts[row] for row in rows] for rows in (left, right))
        score = Levenshtein.normalized_similarity
        found = cpdist(one, other, scorer=score, dtype=np.float32, workers=threads)
        empty = [not (a and b) for a, b in zip(one, other, strict=True)]
        return np.where(empty, np.float32(np.nan), np.asarray(found).ravel())

    return similarity


def tag_similarity(tags: Sequence[frozenset[str]]) -> Similarity:
    """Jaccard similarity of tag sets; NaN without tags."""
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
    """Cosine of unit vectors (N, H); NaN for a zero vector."""
    present: NDArray[np.bool_] = np.asarray(vectors.any(1))

    def similarity(left: Rows, right: Rows) -> NDArray[np.float32]:
        cosine = np.einsum("mh,mh->m", vectors[left], vectors[right])
        return np.where(present[left] & present[right], cosine, np.float32(np.nan))

    return similarity


def passed(
    near: Rows, similarity: Similarity, quantile: float, form: Form, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Filter weight of each candidate (N, K), in [0, 1].

    The threshold theta is a quantile of the similarities of random pairs, and above the similarity
    of pairs with nothing in common. `hard`: 1 from theta on, else 0. `soft`: logistic function of
    (similarity - theta) / (0.25 std), 1/2 at theta.

    Args:
        near: candidates (N, K) of N streamers.
        similarity: pair similarity.
        quantile: in [0, 1].
        form: of the filter.
        rng: draws the random pairs.
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
    """Random permutation of the weights (N, K): a control of equal size that ignores content."""
    return rng.permutation(weights.ravel()).reshape(weights.shape)


def _of_pairs(similarity: Similarity, left: Rows, right: Rows) -> NDArray[np.float32]:
    found = np.zeros(len(left), np.float32)
    for part in blocks(len(left), _WIDTH):
        found[part] = similarity(left[part], right[part])
    return found
