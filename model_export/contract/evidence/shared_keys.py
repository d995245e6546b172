"""Keys that the sides of pairs share: all channels of many pairs by a few look-ups in arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence.channels import RARE_BITS, Floats
from model_export.contract.evidence.keys import Hashes, Worth

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
        column_of = {name: column for column, name in enumerate(channels)}
        arrays: list[Hashes] = []
        places: list[int] = []
        for place, by_channel in enumerate(shown):
            for name, each in by_channel.items():
                if (column := column_of.get(name)) is not None:
                    arrays.append(each)
                    places.append(place * width + column)
        lengths = np.fromiter(map(len, arrays), np.int64, len(arrays))
        keys = np.concatenate([_NOTHING, *arrays])
        numbers = np.repeat(np.array(places, np.int64), lengths)
        bits = worth(keys)  # (K,)
        self._sizes = np.zeros((len(shown), width), np.int64)
        self._sizes.flat[places] = lengths
        self._starts = np.zeros(len(shown) * width, np.int64)
        self._starts[places] = np.cumsum(lengths) - lengths
        self._sums = np.concatenate([[0.0], np.cumsum(bits, dtype=np.float64)])
        self._keys = np.append(keys, np.uint32(0))
        # Most keys are shown by one side alone. Those that share a slot with another may be shared.
        slots = keys & np.uint32(_slots(len(keys)) - 1)
        rows = np.flatnonzero(np.bincount(slots, minlength=1)[slots] > 1)
        ids, self._distinct = _numbered(keys[rows], numbers[rows] % width, width)
        rows, self._ids = rows[ids >= 0], ids[ids >= 0]
        self._columns = numbers[rows] % width
        self._bits = bits[rows]
        self._is_rare = self._bits >= RARE_BITS
        self._counts = np.bincount(numbers[rows] // width, minlength=len(self._sizes))
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
        bits = np.zeros((size, width), np.float32)
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
                ):
                    table[rows] = np.bincount(cells, weights, len(rows) * width).reshape(shape)
        return {
            name: Overlap(bits[:, place], count[:, place], rare[:, place])
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
        places, owners = self._keys_of(marked)
        set_marks = self._ids[places] + (owners * self._distinct)
        marks[set_marks] = True
        places, owners = self._keys_of(other)
        shown = self._ids[places]
        shown += (which * self._distinct)[owners]
        found = np.flatnonzero(marks[shown])
        marks[set_marks] = False
        places = places[found]
        return owners[found] * len(self._channels) + self._columns[places], places

    def _keys_of(self, sides: Places) -> tuple[Places, Places]:
        """Places of the keys of sides at places (S,), and which of these sides each is of."""
        counts = self._counts[sides]
        ends = np.cumsum(counts)
        owners = np.repeat(np.arange(len(sides)), counts)
        return np.arange(len(owners)) + (self._begins[sides] - ends + counts)[owners], owners


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
