"""What is measured: any method that scores pairs of streamers by an inner product."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.preprocessing import normalize

Matrix = NDArray[np.float32] | sp.csr_matrix


@dataclass(frozen=True, eq=False)
class Representation:
    """Score of a pair = query row · gallery row; N streamers.

    Attributes:
        query: (N, K), dense or sparse; a zero row has nothing to ask with.
        gallery: (N, K); the same object as `query` for an embedding, which is symmetric.
        content: unit rows (N, C) by whose cosine duplicates are told; None = by the embedding.
        duplicate_threshold: from which such cosine on two are duplicates; None = the best one on
            the gallery is taken.
        user_scores: (U,) for a method that ranks users the same way for everyone; None = the
            audiences of the nearest streamers vote.
    """

    query: Matrix
    gallery: Matrix
    content: Matrix | None = None
    duplicate_threshold: float | None = None
    user_scores: NDArray[np.float32] | None = None

    @classmethod
    def symmetric(cls, vectors: Matrix) -> "Representation":
        """An embedding (N, K): both sides have the same vectors."""
        return cls(vectors, vectors)

    @property
    def is_symmetric(self) -> bool:
        """Whether there is one vector per streamer."""
        return self.query is self.gallery


def shown(rows: Matrix) -> NDArray[np.bool_]:
    """Which rows are not zero (R,)."""
    size = np.abs(rows).sum(1) if isinstance(rows, np.ndarray) else abs(rows).sum(1)
    return np.asarray(size).ravel() > 0


def count(rows: Matrix) -> int:
    """How many rows; SciPy's matrices have no length."""
    return len(rows) if isinstance(rows, np.ndarray) else len(rows.indptr) - 1


def scores(queries: Matrix, gallery: Matrix) -> NDArray[np.float32]:
    """Inner products (Q, G), dense, of rows (Q, K) and (G, K)."""
    product = queries @ gallery.T
    return product if isinstance(product, np.ndarray) else product.toarray()


def unit(rows: Matrix) -> Matrix:
    """Rows of length 1, or 0 where they were 0."""
    unit_rows = normalize(rows)
    return (
        np.asarray(unit_rows, np.float32)
        if isinstance(rows, np.ndarray)
        else sp.csr_matrix(unit_rows)
    )
