"""Keys that the sides of pairs share: all channels of many pairs by a few look-ups in arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence.channels import RARE_BITS, Floats
from model_export.contract.evidence.keys import Hashes, Worth

Places = NDArray[np.int64]
Codes = NDArray[np.int64]
_SHIFT = 32
"""A code is the number of a set, which is place * channels + channel, and a key below it."""
_MULTIPLIER = 0x9E3779B97F4A7C15
_ROOM = 2
"""Slots of a table for each code, or up to twice as many."""
_EMPTY = -1
_NOTHING: Hashes = np.zeros(0, np.uint32)


@dataclass(frozen=True, eq=False)
class Overlap:
    """What the sides of P pairs share of a channel.

    Attributes:
        bits: (P,), of all shared keys.
        count: (P,), how many keys are shared.
        rare: (P,), how many of those are rare.
    """

    bits: Floats
    count: Places
    rare: Places


class KeySets:
    """The keys that the sides of a list show, by channel."""

    def __init__(
        self, shown: Sequence[Mapping[str, Hashes]], channels: Sequence[str], worth: Worth
    ) -> None:
        """Index the keys of N sides.

        Args:
            shown: by each side, the ascending keys of channels.
            channels: that are indexed.
            worth: bits of the keys.
        """
        self._channels = list(channels)
        width = len(channels)
        arrays = [keys.get(name, _NOTHING) for keys in shown for name in channels]
        sizes = np.fromiter(map(len, arrays), np.int64, len(arrays))
        keys = np.concatenate([_NOTHING, *arrays])
        numbers = np.repeat(np.arange(len(arrays)), sizes)
        bits = worth(keys)  # (K,)
        self._sizes = sizes.reshape(-1, width)
        self._starts = np.concatenate([[0], np.cumsum(sizes)])
        self._sums = np.concatenate([[0.0], np.cumsum(bits, dtype=np.float64)])
        self._keys = np.append(keys, np.uint32(0))
        # Most keys are shown by one side alone. Those that share a slot with another may be shared.
        slots = keys & np.uint32(_slots(len(keys)) - 1)
        shared = np.bincount(slots, minlength=1)[slots] > 1
        self._codes = numbers[shared] << _SHIFT | keys[shared]
        self._bits = bits[shared]
        self._counts = np.bincount(numbers[shared] // width, minlength=len(self._sizes))
        self._begins = np.cumsum(self._counts) - self._counts
        self._table = _Table(self._codes)

    def sizes(self, channel: str) -> Places:
        """How many keys each side shows of a channel (N,)."""
        return self._sizes[:, self._channels.index(channel)]

    def totals(self, channel: str, places: Places, limits: NDArray[np.uint64]) -> Floats:
        """Bits of the keys of a channel up to a limit, of the sides at these places: (P,)."""
        numbers = places * len(self._channels) + self._channels.index(channel)
        begins, ends = self._starts[numbers], self._starts[numbers + 1]
        last = self._keys[np.maximum(ends - 1, 0)]
        for row in np.flatnonzero((begins < ends) & (last > limits)).tolist():
            keys = self._keys[begins[row] : ends[row]]
            ends[row] = begins[row] + np.searchsorted(keys, limits[row], side="right")
        return (self._sums[ends] - self._sums[begins]).astype(np.float32)

    def overlaps(self, one: Places, other: Places) -> dict[str, Overlap]:
        """What different sides, at places (P,) and (P,), share, by channel."""
        size, width = len(one), len(self._channels)
        swap = self._counts[one] > self._counts[other]
        fewer, more = np.where(swap, other, one), np.where(swap, one, other)
        counts = self._counts[fewer]
        rows = np.repeat(np.arange(size), counts)  # (L,)
        places = np.arange(len(rows)) + np.repeat(
            self._begins[fewer] - np.cumsum(counts) + counts, counts
        )
        away = (more - fewer) * width << _SHIFT  # to the same channel of the other side
        codes = self._codes[places]
        found = np.flatnonzero(self._table.has(codes + away[rows]))
        rows, codes, bits = rows[found], codes[found], self._bits[places[found]]
        cells = rows * width + (codes >> _SHIFT) % width
        cell_count = size * width
        tables = (
            np.bincount(cells, bits, cell_count).astype(np.float32),
            np.bincount(cells, minlength=cell_count),
            np.bincount(cells[bits >= RARE_BITS], minlength=cell_count),
        )
        columns = [table.reshape(size, width).T for table in tables]
        return {
            name: Overlap(*(column[place] for column in columns))
            for place, name in enumerate(self._channels)
        }


class _Table:
    """A set of distinct codes >= 0, for look-ups of arrays.

    Levels of a hash table: of codes with one slot the last has it, the others go to the next level,
    which is smaller. (A binary search of each takes ten times as long.)
    """

    def __init__(self, codes: Codes) -> None:
        """Insert all of them."""
        self._levels: list[tuple[Codes, int]] = []
        while len(codes):
            level = np.full(_slots(len(codes)), _EMPTY)
            number = len(self._levels)
            slots = _hashed(codes, number, len(level))
            level[slots] = codes
            self._levels.append((level, number))
            codes = codes[level[slots] != codes]

    def has(self, codes: Codes) -> NDArray[np.bool_]:
        """Whether each is one of them (N,)."""
        found = np.zeros(len(codes), np.bool_)
        left: Places | None = None  # whose slots so far are taken by others
        for level, number in self._levels:
            wanted = codes if left is None else codes[left]
            held = level[_hashed(wanted, number, len(level))]
            same = held == wanted
            others = np.flatnonzero(~same & (held != _EMPTY))
            if left is None:
                found, left = same, others
            else:
                found[left[same]] = True
                left = left[others]
        return found


def _slots(size: int) -> int:
    return 1 << max(_ROOM * size - 1, 1).bit_length()


def _hashed(codes: Codes, level: int, slots: int) -> Places:
    """Slots of codes (N,), others at each level (multiplicative hashing; Knuth, volume 3, 6.4)."""
    multiplier = np.uint64((_MULTIPLIER * (2 * level + 1)) & 0xFFFFFFFFFFFFFFFF)
    shift = np.uint64(64 - (slots - 1).bit_length())
    return (codes.view(np.uint64) * multiplier >> shift).view(np.int64)
