"""The best columns of rows of similarities, and the graph of who is among whose best."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray


def best_of(
    similar: NDArray[np.float32], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The `count` best columns of each row (b, M), best first, the first of equals."""
    found = np.argpartition(-similar, count - 1, axis=1)[:, :count]
    values = np.take_along_axis(similar, found, 1)
    order = np.lexsort((found, -values))
    return np.take_along_axis(found, order, 1), np.take_along_axis(values, order, 1)


def mutual(near: NDArray[np.int64], weights: NDArray[np.float32]) -> sp.csr_matrix:
    """Weights (N, K) of near ones as a symmetric graph (N, N), with the larger of both ways."""
    rows, count = near.shape
    index = (np.repeat(np.arange(rows), count), near.ravel())
    pairs = sp.csr_matrix((weights.ravel(), index), shape=(rows, rows))
    pairs.eliminate_zeros()
    return sp.csr_matrix(pairs.maximum(pairs.T))
