"""Keys that the sides of pairs share: all channels of many pairs by a few look-ups in arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence.channels import (
    SHINGLES_PER_LETTER,
    Floats,
    rare_from,
    uniqueness,
)
from model_export.contract.evidence.keys import Hashes, Worth, are_numbers, are_words

Places = NDArray[np.int64]
_PAIRS_AT_ONCE = 512
"""So few that what is made of them stays in the processor's cache."""
_MOST_MARKED = 256
"""Sides whose keys are marked at a time; fewer of a list with many different keys."""
_MOST_MARKS = 1 << 22
_PLACE_BITS = 28
_ROOM = 2
"""Slots for each key, or up to twice as many."""
_NOTHING: Hashes = np.zeros(0, np.uint32)


@dataclass(frozen=True, eq=False)
class Overlap:
    """What the sides of P pairs share of a channel.

    Attributes:
        bits: (P,), of all shared keys.
        count: (P,), how many keys are shared.
        rare: (P,), how many of those are rare.
        words: (P,), how many words nobody else shows: each of `are_words` is one, and as many of
            the others as a letter is in. Those that a few others show count less, and all numbers
            together are one at most.
    """

    bits: Floats
    count: Places
    rare: Places
    words: Floats

    def at(self, rows: Places) -> "Overlap":
        """That of some of the pairs."""
        return Overlap(self.bits[rows], self.count[rows], self.rare[rows], self.words[rows])


class KeySets:
    """The keys that the sides of a list show, by channel."""

    def __init__(
        self, keys: Sequence[Hashes], sizes: Places, channels: Sequence[str], worth: Worth
    ) -> None:
        """Index the keys of N sides.

        Args:
            keys: of each side, those of all channels, one channel after the other, ascending.
            sizes: how many keys each side shows of each channel (N, channels).
            channels: their names.
            worth: bits of the keys.
        """
        self._channels = list(channels)
        width = len(channels)
        every = np.concatenate([_NOTHING, *keys])  # (K,)
        bits = worth(every)  # (K,)
        self._sizes = sizes
        lengths = sizes.reshape(-1)
        self._starts = np.cumsum(lengths) - lengths
        self._sums = np.zeros(len(every) + 1)
        np.cumsum(bits, out=self._sums[1:])
        self._keys = np.append(every, np.uint32(0))
        # Most keys are shown by one side alone. Those that share a slot with another may be shared.
        slots = every & np.uint32(_slots(len(every)) - 1)
        rows = np.flatnonzero((np.bincount(slots, minlength=1) > 1)[slots])
        numbers = np.repeat(np.arange(len(lengths)), lengths)[rows]
        owners = numbers // width
        columns = numbers - owners * width
        ids, self._distinct = _numbered(every[rows], columns, width)
        shared = np.flatnonzero(ids >= 0)
        rows, owners = rows[shared], owners[shared]
        self._ids = ids[shared]
        self._columns = columns[shared]
        self._bits = bits[rows]
        least = np.array([rare_from(channel, worth.unknown_bits) for channel in channels])
        self._is_rare = self._bits >= least[self._columns]
        share = np.where(are_words(every[rows]), 1, np.float32(1 / SHINGLES_PER_LETTER))
        words = share * uniqueness(self._bits, worth.unknown_bits)
        is_number = are_numbers(every[rows])
        self._words = np.where(is_number, 0, words)
        self._numbers = np.where(is_number, words, 0)
        self._counts = np.bincount(owners, minlength=len(sizes))
        self._begins = np.cumsum(self._counts) - self._counts

    def sizes(self, channel: str) -> Places:
        """How many keys each side shows of a channel (N,)."""
        return self._sizes[:, self._channels.index(channel)]

    def totals(self, channel: str, places: Places, limits: NDArray[np.uint64]) -> Floats:
        """Bits of the keys of a channel up to a limit, of the sides at these places: (P,)."""
        numbers = places * len(self._channels) + self._channels.index(channel)
        begins = self._starts[numbers]
        ends = begins + self._sizes.flat[numbers]
        last = self._keys[np.maximum(ends - 1, 0)]
        for row in np.flatnonzero((begins < ends) & (last > limits)).tolist():
            keys = self._keys[begins[row] : ends[row]]
            ends[row] = begins[row] + np.searchsorted(keys, limits[row], side="right")
        return (self._sums[ends] - self._sums[begins]).astype(np.float32)

    def overlaps(self, one: Places, other: Places) -> dict[str, Overlap]:
        """What different sides, at places (P,) and (P,), share, by channel."""
        size, width = len(one), len(self._channels)
        bits, words, numbers = (np.zeros((size, width), np.float32) for _ in range(3))
        count, rare = np.zeros((size, width), np.int64), np.zeros((size, width), np.int64)
        most = max(min(_MOST_MARKED, _MOST_MARKS // max(self._distinct, 1)), 1)
        marks = np.zeros(min(most, len(self._counts)) * self._distinct, np.bool_)
        for start in range(0, size, _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            marked, which = np.unique(one[part], return_inverse=True)
            for begin in range(0, len(marked), most):
                rows = np.flatnonzero((which >= begin) & (which < begin + most))
                pairs = which[rows] - begin, other[part][rows]
                cells, found = self._shared(marks, marked[begin : begin + most], *pairs)
                rows += start
                shape = len(rows), width
                for table, weights in (
                    (bits, self._bits[found]),
                    (count, None),
                    (rare, self._is_rare[found]),
                    (words, self._words[found]),
                    (numbers, self._numbers[found]),
                ):
                    table[rows] = np.bincount(cells, weights, len(rows) * width).reshape(shape)
        words += np.minimum(numbers, 1)
        return {
            name: Overlap(bits[:, place], count[:, place], rare[:, place], words[:, place])
            for place, name in enumerate(self._channels)
        }

    def _shared(
        self, marks: NDArray[np.bool_], marked: Places, which: Places, other: Places
    ) -> tuple[Places, Places]:
        """Keys that both sides of pairs show.

        Args:
            marks: nothing is marked, before and after.
            marked: places of one side (M,), whose keys are marked, each in a row of its own.
            which: of these rows is of each pair (P,).
            other: places of the other side (P,), whose keys are looked up.

        Returns:
            Of each shared key, the cell of pair and channel, and its place (S,), (S,).
        """
        places, counts = self._keys_of(marked)
        set_marks = self._ids[places]
        set_marks += np.repeat(np.arange(len(marked)) * self._distinct, counts)
        marks[set_marks] = True
        places, counts = self._keys_of(other)
        shown = self._ids[places]
        shown += np.repeat(which * self._distinct, counts)
        found = np.flatnonzero(marks[shown])
        marks[set_marks] = False
        places = places[found]
        owners = np.searchsorted(np.cumsum(counts), found, side="right")
        return owners * len(self._channels) + self._columns[places], places

    def _keys_of(self, sides: Places) -> tuple[Places, Places]:
        """Places of the keys of sides at places (S,), one side after the other, and their sizes."""
        counts = self._counts[sides]
        places = np.repeat(self._begins[sides] - np.cumsum(counts) + counts, counts)
        places += np.arange(len(places))
        return places, counts


def _numbered(keys: Hashes, channels: Places, width: int) -> tuple[Places, int]:
    """Numbers, from 0, of keys that are shown several times in a channel: (N,), -1 of the others.

    Returns:
        Also how many different ones there are.
    """
    # One number is sorted for each, with its place below: to sort places takes five times as long.
    codes = (keys.astype(np.int64) * width + channels) << _PLACE_BITS | np.arange(len(keys))
    codes.sort()
    places = codes & ((1 << _PLACE_BITS) - 1)
    codes >>= _PLACE_BITS
    is_first = np.diff(codes, prepend=-1) != 0
    group = np.cumsum(is_first) - 1
    several = np.diff(np.flatnonzero(is_first), append=len(codes)) > 1
    number = np.where(several, np.cumsum(several) - 1, -1)
    ids = np.empty(len(keys), np.int64)
    ids[places] = number[group]
    return ids, int(several.sum())


def _slots(size: int) -> int:
    return 1 << max(_ROOM * size - 1, 1).bit_length()
