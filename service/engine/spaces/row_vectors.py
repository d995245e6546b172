"""Vectors of many rows, in 16 bits a component where there are many."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.engine.spaces.array_file import Keep

WHOLE_ROWS = 100_000
"""Up to so many rows are kept as they were given."""
_MOST = 32767
_BLOCK = 1 << 15


class RowVectors:
    """Vectors (n, E) with their lengths.

    Beyond `WHOLE_ROWS` a component is a whole number of 16 bits, times a factor of its row: half of
    the memory, and inner products that are right to about 1e-5 of both lengths.
    """

    def __init__(self, values: NDArray[Any]) -> None:
        """Rows to be filled by `put`, in the type in which they are to be kept; see `of`, `empty`.

        Args:
            values: float32 or int16 (n, E).
        """
        self._values = values
        is_whole = values.dtype == np.float32
        self._factors = None if is_whole else np.zeros(len(values), np.float32)

    @classmethod
    def empty(cls, count: int, width: int, whole_rows: int = WHOLE_ROWS) -> "RowVectors":
        """Rows (n, E) of zeros."""
        kind = np.float32 if count <= whole_rows else np.int16
        return cls(np.zeros((count, width), kind))

    @classmethod
    def of(cls, values: NDArray[np.float32], whole_rows: int = WHOLE_ROWS) -> "RowVectors":
        """Rows (n, E); few are not copied."""
        if len(values) <= whole_rows:
            return cls(values)
        made = cls.empty(len(values), values.shape[1], whole_rows)
        for begin in range(0, len(values), _BLOCK):
            made.put(begin, values[begin : begin + _BLOCK])
        return made

    def kept(self, keep: Keep) -> "RowVectors":
        """A copy with its arrays elsewhere."""
        made = RowVectors(keep(self._values))
        made._factors = None if self._factors is None else keep(self._factors)
        return made

    @property
    def shape(self) -> tuple[int, int]:
        """How many rows there are, and how wide they are."""
        return len(self._values), self._values.shape[1]

    def __len__(self) -> int:
        return len(self._values)

    def put(self, begin: int, values: NDArray[np.float32]) -> None:
        """Set some rows (b, E) from `begin` on.

        Raises:
            ValueError: they are of another shape.
        """
        rows = slice(begin, begin + len(values))
        if values.shape != self._values[rows].shape:
            raise ValueError(f"{values.shape} are no rows from {begin} on of {self.shape}")
        if self._factors is None:
            self._values[rows] = values
            return
        factors = np.abs(values).max(axis=1, initial=0.0) / np.float32(_MOST)  # (b,)
        self._factors[rows] = factors
        self._values[rows] = np.rint(values / np.maximum(factors, np.float32(1e-38))[:, None])

    def take(self, rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Some rows (r, E)."""
        found = np.take(self._values, rows, axis=0)
        if self._factors is None:
            return found.astype(np.float32, copy=False)
        return found.astype(np.float32) * self._factors[rows, None]

    def block(self, begin: int, end: int) -> NDArray[np.float32]:
        """Rows from `begin` to before `end`."""
        found = self._values[begin:end]
        if self._factors is None:
            return found.astype(np.float32, copy=False)
        return found.astype(np.float32) * self._factors[begin:end, None]

    def scores(
        self, query: NDArray[np.float32], rows: NDArray[np.integer] | None = None
    ) -> NDArray[np.float32]:
        """Inner products with a query (E,), of all rows (n,) or of some (r,)."""
        if rows is not None:
            found = np.take(self._values, rows, axis=0)
            if self._factors is None:
                return found @ query
            return (found.astype(np.float32) @ query) * self._factors[rows]
        if self._factors is None:
            return self._values @ query
        made = np.empty(len(self._values), np.float32)
        for begin in range(0, len(made), _BLOCK):
            part = slice(begin, begin + _BLOCK)
            made[part] = self._values[part].astype(np.float32) @ query
        made *= self._factors
        return made

    def lengths(self) -> NDArray[np.float32]:
        """Length of every row (n,)."""
        made = np.empty(len(self._values), np.float32)
        for begin in range(0, len(made), _BLOCK):
            made[begin : begin + _BLOCK] = np.linalg.norm(self.block(begin, begin + _BLOCK), axis=1)
        return made
