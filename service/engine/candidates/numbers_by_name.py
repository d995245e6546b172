"""Numbers by name in some 20 bytes each: a hash table of the numbers alone.

A dict takes 150 bytes for each name: itself, its number, and their place. The names are known
elsewhere already, in a list or a file, where each number leads to its own.
"""

from array import array
from collections.abc import Callable, Iterator

_SHARDS = 256
"""Tables that grow each by itself, so that none takes long to."""
_FEWEST = 8
_MARK = 0xFFFFFFFF
"""Of a name: 32 bits of its hash, beside those of the shard."""
_NUMBER_BITS = 32
_EMPTY = 0
_REMOVED = 1 << _NUMBER_BITS
"""In place of a number that was; those are from 1 on in the lower half of a slot."""
MOST = (1 << _NUMBER_BITS) - 2
"""Largest number."""


class NumbersByName:
    """Numbers from 0 to `MOST` by name. One thread changes them, any may look one up."""

    def __init__(self, name_of: Callable[[int], str | None]) -> None:
        """None yet.

        Args:
            name_of: the name of a number that was put, and was not removed.
        """
        self._name_of = name_of
        self._shards = [array("Q", bytes(8 * _FEWEST)) for _ in range(_SHARDS)]
        self._used = [0] * _SHARDS  # slots that are not empty
        self._count = 0

    def __len__(self) -> int:
        """How many names there are."""
        return self._count

    def get(self, name: str) -> int | None:
        """The number of a name; None if it has none."""
        slots, place = self._find(name)
        return None if place is None else (slots[place] & _MARK) - 1

    def likely(self, name: str) -> Iterator[int]:
        """The number of a name, if it has one, and seldom one of another name beside it.

        For who looks up the name of a number anyway.
        """
        shard, mark = _parts(name)
        slots = self._shards[shard]
        for place in _probed(slots, mark):
            slot = slots[place]
            if slot == _EMPTY:
                return
            if slot >> _NUMBER_BITS == mark and slot & _MARK:
                yield (slot & _MARK) - 1

    def put(self, name: str, number: int) -> None:
        """Give a name a number, in place of the one it had."""
        shard, mark = _parts(name)
        slots, place = self._find(name)
        if place is not None:
            slots[place] = mark << _NUMBER_BITS | (number + 1)
            return
        if 3 * (self._used[shard] + 1) > 2 * len(slots):
            slots = self._grow(shard)
        at = next(at for at in _probed(slots, mark) if slots[at] == _EMPTY)
        slots[at] = mark << _NUMBER_BITS | (number + 1)
        self._used[shard] += 1
        self._count += 1

    def pop(self, name: str) -> int | None:
        """Forget a name, whose number is returned; None if it has none."""
        slots, place = self._find(name)
        if place is None:
            return None
        number = (slots[place] & _MARK) - 1
        slots[place] = _REMOVED
        self._count -= 1
        return number

    def _find(self, name: str) -> "tuple[array[int], int | None]":
        """The slots of a name's shard, and the place of its own among them."""
        shard, mark = _parts(name)
        slots = self._shards[shard]
        for place in _probed(slots, mark):
            slot = slots[place]
            if slot == _EMPTY:
                return slots, None
            number = slot & _MARK
            if slot >> _NUMBER_BITS == mark and number and self._name_of(number - 1) == name:
                return slots, place
        return slots, None

    def _grow(self, shard: int) -> "array[int]":
        """Slots that are half full at most, without removed ones."""
        kept = [slot for slot in self._shards[shard] if slot & _MARK]
        size = _FEWEST
        while 2 * (len(kept) + 1) > size:
            size *= 2
        slots = array("Q", bytes(8 * size))
        for slot in kept:
            slots[next(at for at in _probed(slots, slot >> _NUMBER_BITS) if not slots[at])] = slot
        self._shards[shard], self._used[shard] = slots, len(kept)
        return slots


def _parts(name: str) -> tuple[int, int]:
    """The shard of a name, and its mark there."""
    hashed = hash(name)
    return (hashed >> _NUMBER_BITS) % _SHARDS, hashed & _MARK


def _probed(slots: "array[int]", mark: int) -> Iterator[int]:
    """Places where a name of this mark may be, one after the other."""
    last = len(slots) - 1
    place = mark & last
    for _ in range(len(slots)):
        yield place
        place = (place + 1) & last
