"""Ids of many rows in little memory: one text, offsets, and a hash per id."""

import secrets
from collections.abc import Iterable, Sequence
from copy import copy
from typing import overload

import numpy as np
from numpy.typing import NDArray

from service.engine.spaces.array_file import Keep

_BLOCK = 1 << 16
_WORD = 1 << 64
_FACTOR = secrets.randbits(64) | 1
_INVERSE = pow(_FACTOR, -1, _WORD)
"""Of the hash, drawn in each process: nobody can choose ids that make it slow."""
_DROPPED = 32
"""Bits of a hash that are not kept: of millions of ids a few share the others."""


class PackedIds(Sequence[str]):
    """A sequence of ids that finds the row of one; a million takes some 25 MB.

    A list and a dictionary of a million strings take 200 MB, as much as their vectors.
    """

    def __init__(self, text: bytes, ends: NDArray[np.uint64]) -> None:
        """Take ids apart from UTF-8.

        Args:
            text: all ids, one behind the other.
            ends: (n,) where each ends in the text, in bytes.
        """
        self._text: bytes | memoryview = text
        self._ends: NDArray[np.unsignedinteger] = ends
        if len(text) < 1 << 32:
            self._ends = ends.astype(np.uint32)
        hashes = _short(_hashes(text, ends))  # (n,)
        self._order = np.argsort(hashes, kind="stable").astype(np.uint32)
        self._hashes = hashes[self._order]

    @classmethod
    def of(cls, ids: Iterable[str]) -> "PackedIds":
        """Pack ids."""
        text, sizes = bytearray(), list[NDArray[np.uint64]]()
        block: list[int] = []
        for streamer_id in ids:
            encoded = streamer_id.encode()
            text += encoded
            block.append(len(encoded))
            if len(block) == _BLOCK:
                sizes.append(np.array(block, np.uint64))
                block.clear()
        sizes.append(np.array(block, np.uint64))
        return cls(bytes(text), np.cumsum(np.concatenate(sizes), dtype=np.uint64))

    def kept(self, keep: Keep) -> "PackedIds":
        """A copy with its arrays elsewhere."""
        made = copy(self)
        made._text = keep(np.frombuffer(self._text, np.uint8)).data
        made._ends, made._order = keep(self._ends), keep(self._order)
        made._hashes = keep(self._hashes)
        return made

    def find(self, wanted: str) -> int | None:
        """The row of an id; None if it is not among them."""
        encoded = wanted.encode()
        row_hash = np.uint32(_hash(encoded) >> _DROPPED)
        at = int(np.searchsorted(self._hashes, row_hash))
        while at < len(self._hashes) and self._hashes[at] == row_hash:
            row = int(self._order[at])
            if self._bytes(row) == encoded:
                return row
            at += 1
        return None

    def rows_of(self, text: bytes, ends: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The rows (m,) of many ids, apart from UTF-8 as for `PackedIds`; -1 of those not there."""
        found = np.full(len(ends), -1, np.int64)
        wanted = _short(_hashes(text, ends))  # (m,)
        at = np.searchsorted(self._hashes, wanted)
        open_ = np.flatnonzero(at < len(self))  # whose row may come yet
        while len(open_):
            open_ = open_[self._hashes[at[open_]] == wanted[open_]]
            rows = self._order[at[open_]].astype(np.int64)
            is_same = _same_texts((text, ends, open_), (self._text, self._ends, rows))
            found[open_[is_same]] = rows[is_same]
            open_ = open_[~is_same]
            at[open_] += 1
            open_ = open_[at[open_] < len(self)]
        return found

    def repeated(self) -> str | None:
        """An id that is there twice; None if there is none."""
        same = np.flatnonzero(self._hashes[1:] == self._hashes[:-1])
        seen: set[bytes] = set()  # of one hash
        before = -2
        for at in same.tolist():
            if at - 1 != before:
                seen = {self._bytes(int(self._order[at]))}
            before, row = at, int(self._order[at + 1])
            if self._bytes(row) in seen:
                return self[row]
            seen.add(self._bytes(row))
        return None

    def __len__(self) -> int:
        return len(self._ends)

    def __contains__(self, wanted: object) -> bool:
        return isinstance(wanted, str) and self.find(wanted) is not None

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[str]: ...
    def __getitem__(self, row: int | slice) -> str | Sequence[str]:
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        return self._bytes(row % len(self)).decode()

    def _bytes(self, row: int) -> bytes:
        begin = int(self._ends[row - 1]) if row else 0
        return bytes(self._text[begin : int(self._ends[row])])


def _hash(encoded: bytes) -> int:
    """Sum of (byte + 1) factor^place, modulo 2^64."""
    found = 0
    for byte in reversed(encoded):
        found = (found * _FACTOR + byte + 1) % _WORD
    return found


def _short(hashes: NDArray[np.uint64]) -> NDArray[np.uint32]:
    return (hashes >> np.uint64(_DROPPED)).astype(np.uint32)


def _hashes(text: bytes, ends: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The hash (n,) of each id, from sums over the text before its begin and its end."""
    found = np.zeros(len(ends), np.uint64)
    for start in range(0, len(ends), _BLOCK):
        part = ends[start : start + _BLOCK].astype(np.int64)
        first = int(ends[start - 1]) if start else 0
        size = int(part[-1]) - first
        values = np.frombuffer(text, np.uint8, size, first).astype(np.uint64) + np.uint64(1)
        powers, inverses = (
            np.full(size + 1, _FACTOR, np.uint64),
            np.full(size + 1, _INVERSE, np.uint64),
        )
        powers[0] = inverses[0] = 1
        sums = np.zeros(size + 1, np.uint64)
        np.cumsum(values * np.cumprod(powers)[:-1], out=sums[1:])
        end = part - first
        begin = np.concatenate([[0], end[:-1]])
        found[start : start + _BLOCK] = (sums[end] - sums[begin]) * np.cumprod(inverses)[begin]
    return found


_Some = tuple[bytes | memoryview, NDArray[np.unsignedinteger], NDArray[np.int64]]
"""A text, where each id ends in it, and which of the ids are meant."""


def _same_texts(one: _Some, other: _Some) -> NDArray[np.bool_]:
    """Whether ids (r,) are those of another text, one by one."""
    (text, begins, sizes), (other_text, other_begins, other_sizes) = map(_bounds, (one, other))
    is_same = sizes == other_sizes
    alike = np.flatnonzero(is_same)
    sizes = sizes[alike]
    owners = np.repeat(np.arange(len(alike)), sizes)
    places = np.arange(len(owners)) - (np.cumsum(sizes) - sizes)[owners]
    mine, others = begins[alike][owners] + places, other_begins[alike][owners] + places
    wrong = owners[text[mine] != other_text[others]]
    is_same[alike] = np.bincount(wrong, minlength=len(alike)) == 0
    return is_same


def _bounds(
    some: _Some,
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """The bytes of a text, where the ids that are meant begin, and how many bytes they have."""
    text, ends, rows = some
    begins = np.where(rows > 0, ends[rows - 1], 0).astype(np.int64)
    return np.frombuffer(text, np.uint8), begins, ends[rows].astype(np.int64) - begins
