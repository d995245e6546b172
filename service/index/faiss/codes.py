"""Sign codes of vectors: one bit a number, searched exactly by Hamming distance.

The share of bits in which the codes of two vectors differ estimates the angle between them over pi
(Goemans and Williamson, 1995; Charikar, 2002), so near vectors have near codes. A code of a sketch
of 256 numbers takes 32 bytes.
"""

from collections.abc import Sequence

import faiss
import numpy as np
from numpy.typing import NDArray

_FEWEST_ROWS = 1024
_GROWTH = 1.25


def codes_of(vectors: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Sign codes of vectors (N, D): uint8 (N, ceil(D / 8)); a vector of zeros has no signs."""
    return np.packbits(vectors > 0, axis=1)


class Codes:
    """Codes by row. For one thread at a time.

    Attributes:
        width: bytes of each.
    """

    def __init__(self, width: int) -> None:
        """None yet."""
        self.width = width
        self._codes = np.zeros((_FEWEST_ROWS, width), np.uint8)

    def put(self, row: int, code: NDArray[np.uint8]) -> None:
        """Set the code (width,) of a row."""
        size = len(self._codes)
        if row >= size:
            grown = np.zeros((max(row + 1, int(size * _GROWTH)), self._codes.shape[1]), np.uint8)
            grown[:size] = self._codes
            self._codes = grown
        self._codes[row] = code

    def get(self, rows: Sequence[int]) -> NDArray[np.uint8]:
        """Codes of rows (N,): (N, width)."""
        return self._codes[np.array(rows, np.int64)]

    def nearest(
        self, codes: NDArray[np.uint8], k: int, used: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The nearest of the first `used` rows by Hamming distance.

        Args:
            codes: (N, width).
            k: of each; fewer where there are fewer rows.
            used: how many rows there are, at least one.

        Returns:
            Distances and rows, (N, min(k, used)) each, the nearest first.
        """
        found = faiss.knn_hamming(codes, self._codes[:used], min(k, used))
        distances: NDArray[np.int32] = found[0]
        rows: NDArray[np.int64] = found[1]
        return distances, rows
