"""Representations: methods that score pairs of streamers by an inner product."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.preprocessing import normalize

from training.numeric.topk import Found, top_k_in_blocks

_Part = NDArray[np.float32] | sp.csr_matrix


@dataclass(frozen=True, eq=False)
class SideBySide:
    """Lazy horizontal stack of dense and sparse matrices.

    Attributes:
        parts: each with the same rows.
    """

    parts: tuple[_Part, ...]

    def __getitem__(self, rows: Any) -> "SideBySide":
        return SideBySide(tuple(part[rows] for part in self.parts))


Matrix = _Part | SideBySide
"""Matrix types that support `matrix[rows]` and the functions below."""


@dataclass(frozen=True)
class AudienceVote:
    """Parameters of the vote of nearest streamers for users.

    Attributes:
        temperature: of the softmax over scores, relative to the best score.
        sharing: 0 = each user of a voter gets the whole vote, 1 = the users share it.
    """

    temperature: float
    sharing: float


@dataclass(frozen=True, eq=False)
class Representation:
    """Query and gallery vectors of N streamers; the score of a pair is their inner product.

    Attributes:
        query: (N, K), dense or sparse; zero rows are streamers without content.
        gallery: (N, K); the same object as `query` for a symmetric embedding.
        content: unit rows (N, C) for the duplicate task; None = the embedding.
        duplicate_threshold: cosine from which pairs are duplicates; None = chosen on the gallery.
        user_scores: (U,), for methods with one ranking of users for all queries; None = the
            audiences of the nearest streamers vote.
        audience_vote: parameters of that vote, chosen on validation; None = default.
        cold_start: representation for the cold-start task; None = this one.
        reads_behaviour: whether the gallery is represented by behaviour; such methods take part in
            the cold-start task only.
        settings: settings of a baseline that were chosen on validation, by name.
    """

    query: Matrix
    gallery: Matrix
    content: Matrix | None = None
    duplicate_threshold: float | None = None
    user_scores: NDArray[np.float32] | None = None
    audience_vote: AudienceVote | None = None
    cold_start: "Representation | None" = None
    reads_behaviour: bool = False
    settings: Mapping[str, float] = field(default_factory=dict[str, float])

    @classmethod
    def symmetric(cls, vectors: Matrix) -> "Representation":
        """Representation by an embedding (N, K) for queries and gallery."""
        return cls(vectors, vectors)

    @property
    def is_symmetric(self) -> bool:
        """Whether queries and gallery have the same vectors."""
        return self.query is self.gallery


def count(rows: Matrix) -> int:
    """Number of rows; SciPy matrices have no length."""
    if isinstance(rows, SideBySide):
        return count(rows.parts[0])
    return len(rows) if isinstance(rows, np.ndarray) else len(rows.indptr) - 1


def scores(queries: Matrix, gallery: Matrix) -> NDArray[np.float32]:
    """Inner products (Q, G), dense, of rows (Q, K) and (G, K)."""
    if isinstance(queries, SideBySide) or isinstance(gallery, SideBySide):
        parts = zip(_parts(queries), _parts(gallery), strict=True)
        return np.sum([scores(a, b) for a, b in parts], axis=0)
    product = queries @ gallery.T
    return product if isinstance(product, np.ndarray) else product.toarray()


def search(queries: Matrix, gallery: Matrix, depth: int) -> Found:
    """Places in the gallery (Q, <= depth), best first, and their scores; ties by place.

    Args:
        queries: (Q, K).
        gallery: (G, K).
        depth: hits per query; the whole gallery if it has fewer rows.
    """
    return top_k_in_blocks(
        lambda part: scores(queries[part], gallery), count(queries), count(gallery), depth
    )


def top(queries: Matrix, gallery: Matrix, depth: int) -> NDArray[np.int64]:
    """Places of `search` alone (Q, <= depth)."""
    return search(queries, gallery, depth)[0]


def paired_scores(first: Matrix, second: Matrix) -> NDArray[np.float32]:
    """Row-wise inner products (R,)."""
    if isinstance(first, SideBySide) or isinstance(second, SideBySide):
        parts = zip(_parts(first), _parts(second), strict=True)
        return np.sum([paired_scores(a, b) for a, b in parts], axis=0)
    product = first * second if isinstance(first, np.ndarray) else first.multiply(second)
    return np.asarray(product.sum(1), np.float32).ravel()


def shown(rows: Matrix) -> NDArray[np.bool_]:
    """Whether each row is non-zero (R,)."""
    return paired_scores(rows, rows) > 0


def unit(rows: Matrix) -> Matrix:
    """Normalised rows; zero rows stay zero."""
    if isinstance(rows, SideBySide):
        lengths = np.sqrt(paired_scores(rows, rows))
        return scaled(rows, (1 / np.where(lengths > 0, lengths, 1)).astype(np.float32))
    unit_rows = normalize(rows)
    return (
        np.asarray(unit_rows, np.float32)
        if isinstance(rows, np.ndarray)
        else sp.csr_matrix(unit_rows)
    )


def scaled(rows: Matrix, scale: NDArray[np.float32]) -> Matrix:
    """Rows multiplied by a factor each (R,)."""
    if isinstance(rows, SideBySide):
        return SideBySide(tuple(_scaled(part, scale) for part in rows.parts))
    return _scaled(rows, scale)


def _parts(rows: Matrix) -> tuple[_Part, ...]:
    return rows.parts if isinstance(rows, SideBySide) else (rows,)


def _scaled(rows: _Part, scale: NDArray[np.float32]) -> _Part:
    if isinstance(rows, np.ndarray):
        return rows * scale[:, None]
    return sp.csr_matrix(sp.diags_array(scale) @ rows)
