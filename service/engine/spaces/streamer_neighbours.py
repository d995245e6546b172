"""Neighbours of streamers that a recommender hands over, such as from audiences in common."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from service.engine.spaces.chunk_codec import DamagedChunk, unpacked

MOST_NEIGHBOURS = 64
"""Of one streamer."""
_LEVEL = 1
_HEAD = struct.Struct("<II")


@dataclass(frozen=True, eq=False)
class StreamerNeighbours:
    """Neighbours of n streamers, a compressed sparse row matrix (n, n).

    Attributes:
        indptr: int64 (n + 1,), where the neighbours of each row begin.
        rows: int32 (e,), the neighbours.
        shares: (e,), weights of neighbours as shares of the largest one of the row.
    """

    indptr: NDArray[np.int64]
    rows: NDArray[np.int32]
    shares: NDArray[np.floating]

    @property
    def having(self) -> NDArray[np.bool_]:
        """Which rows (n,) have neighbours."""
        return np.diff(self.indptr) > 0

    def of(self, row: int) -> tuple[NDArray[np.int32], NDArray[np.floating]]:
        """Neighbours of a row, and their shares, as they came."""
        part = slice(self.indptr[row], self.indptr[row + 1])
        return self.rows[part], self.shares[part]

    def sources(self) -> NDArray[np.int32]:
        """The row (e,) that each neighbour is one of."""
        count = len(self.indptr) - 1
        return np.repeat(np.arange(count, dtype=np.int32), np.diff(self.indptr))

    def among(self, rows: NDArray[np.int64]) -> Self:
        """Neighbours of some rows (k,), ascending, among them; numbered by their places there."""
        place = np.full(len(self.indptr) - 1, -1, np.int32)
        place[rows] = np.arange(len(rows), dtype=np.int32)
        return self._kept(place[self.sources()], place[self.rows], self.shares, len(rows))

    def heaviest(self, most: int) -> Self:
        """Up to `most` of each row, those of the largest shares; of equal ones the first."""
        lengths = np.diff(self.indptr)
        if lengths.max(initial=0) <= most:
            return self
        order = np.lexsort((-self.shares, self.sources()))
        rank = np.arange(len(order)) - np.repeat(self.indptr[:-1], lengths)
        kept = np.sort(order[rank < most])
        indptr = np.zeros_like(self.indptr)
        np.cumsum(np.minimum(lengths, most), out=indptr[1:])
        return type(self)(indptr, self.rows[kept], self.shares[kept])

    @classmethod
    def joined(cls, parts: Sequence["NeighboursPart"]) -> Self:
        """The neighbours of all parts, which come in order; numbers of nobody are left out.

        Raises:
            DamagedChunk: the numbers of streamers do not ascend.
        """
        numbers = np.concatenate([part.numbers for part in parts]).astype(np.int64)
        if (np.diff(numbers) <= 0).any():
            raise DamagedChunk("neighbours are not in the order of their streamers")
        lengths = np.concatenate([part.lengths for part in parts])
        neighbours = np.concatenate([part.neighbours for part in parts])
        shares = np.concatenate([part.shares for part in parts])
        nobody = int(numbers.max(initial=-1)) + 1
        place = np.full(nobody + 1, -1, np.int32)
        place[numbers] = np.arange(len(numbers), dtype=np.int32)
        sources = np.repeat(np.arange(len(numbers), dtype=np.int32), lengths)
        return cls._kept(sources, place[np.minimum(neighbours, nobody)], shares, len(numbers))

    @classmethod
    def _kept(
        cls,
        sources: NDArray[np.int32],
        rows: NDArray[np.int32],
        shares: NDArray[np.floating],
        count: int,
    ) -> Self:
        """Of `count` rows, without what is of -1 or is -1."""
        kept = (sources >= 0) & (rows >= 0)
        indptr = np.zeros(count + 1, np.int64)
        np.cumsum(np.bincount(sources[kept], minlength=count), out=indptr[1:])
        return cls(indptr, rows[kept], shares[kept])


def shares_of(weights: NDArray[np.floating], lengths: NDArray[np.integer]) -> NDArray[np.float16]:
    """Weights (e,) as shares of the largest of each row; none becomes 0.

    Args:
        weights: positive and finite, row by row.
        lengths: (n,) of the rows.
    """
    filled = lengths[lengths > 0]
    if not len(filled):
        return np.zeros(0, np.float16)
    wide = weights.astype(np.float64)
    largest = np.maximum.reduceat(wide, np.cumsum(filled) - filled)
    shares = (wide / np.repeat(largest, filled)).astype(np.float16)
    return np.maximum(shares, np.finfo(np.float16).smallest_subnormal)


def packed_neighbours(
    numbers: NDArray[np.integer],
    lengths: NDArray[np.integer],
    neighbours: NDArray[np.integer],
    shares: NDArray[np.float16],
) -> bytes:
    """Neighbours of some streamers as one chunk.

    Streamers go by their numbers in the hand-over. These stay when one of them is erased, so that
    the lists of others need not be written anew: its number means nobody then.

    Args:
        numbers: (r,) of the streamers, ascending.
        lengths: (r,) of their lists.
        neighbours: (e,) numbers, list by list.
        shares: (e,).
    """
    parts = (
        numbers.astype("<u4"),
        lengths.astype(np.uint8),
        neighbours.astype("<u4"),
        shares.astype("<f2"),
    )
    head = _HEAD.pack(len(numbers), len(neighbours))
    return zlib.compress(head + b"".join(part.tobytes() for part in parts), _LEVEL)


@dataclass(frozen=True, eq=False)
class NeighboursPart:
    """What a chunk holds; see `packed_neighbours`."""

    numbers: NDArray[np.uint32]
    lengths: NDArray[np.uint8]
    neighbours: NDArray[np.uint32]
    shares: NDArray[np.float16]

    def without(self, row: int) -> bytes:
        """The chunk without one of its streamers."""
        mine = np.repeat(np.arange(len(self.lengths)), self.lengths) == row
        return packed_neighbours(
            np.delete(self.numbers, row),
            np.delete(self.lengths, row),
            self.neighbours[~mine],
            self.shares[~mine],
        )


def unpacked_neighbours(chunk: bytes) -> NeighboursPart:
    """The neighbours of a chunk.

    Raises:
        DamagedChunk: it is not as it was written.
    """
    data = unpacked(chunk)
    count, edges = _HEAD.unpack_from(data) if len(data) >= _HEAD.size else (0, 0)
    if len(data) != _HEAD.size + 5 * count + 6 * edges:
        raise DamagedChunk("its neighbours end in the middle")
    at = _HEAD.size
    numbers = np.frombuffer(data, "<u4", count, at)
    lengths = np.frombuffer(data, np.uint8, count, at + 4 * count)
    neighbours = np.frombuffer(data, "<u4", edges, at + 5 * count)
    shares = np.frombuffer(data, "<f2", edges, at + 5 * count + 4 * edges)
    if int(lengths.sum(dtype=np.int64)) != edges or (np.diff(numbers.astype(np.int64)) <= 0).any():
        raise DamagedChunk("its neighbours belong to nobody")
    if not ((shares > 0) & (shares <= 1)).all():
        raise DamagedChunk("a weight of its neighbours is not from 0 to 1")
    return NeighboursPart(numbers, lengths, neighbours, shares)
