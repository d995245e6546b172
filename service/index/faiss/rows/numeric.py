"""Numbers of one attribute by slot, for range filters."""

import array
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from service.index.faiss.rows.value_counts import is_large, numbers_of
from service.index.faiss.snapshot.blobs import BlobReader, BlobWriter
from service.index.filters import Condition, within

_SPARSE = 32
"""Fewer than one slot in so many has a number: a dictionary takes less memory than an array."""
_DENSE = 16
"""From one slot in so many on, it is faster to compare the numbers of all slots."""
_QUICK = 2048
"""So many numbers of a dictionary are compared in a moment."""
_DISTINCT = 256
"""Up to so many different numbers (levels, ages, years) have a bitmap each."""


class Numbers:
    """Numbers of one attribute.

    If many slots have one, they are float64 in an array and compared all at once; if few of them
    differ, a bitmap for each is faster. If few slots have one, and for integers that float64 can't
    hold, they are in a dictionary: memory stays in proportion to the numbers, however many
    attributes there are.
    """

    def __init__(self) -> None:
        self._few: dict[int, int | float] = {}
        self._many: NDArray[np.float64] | None = None  # by slot, NaN without a number
        self._holders: dict[float, BitMap] | None = None  # of those, None where there are too many
        self._count = 0

    def __len__(self) -> int:
        """Number of slots that have a number."""
        return self._count

    def add(self, slot: int, value: int | float) -> None:
        """Add the number of a slot that has none yet."""
        self._count += 1
        if self._many is None:
            self._few[slot] = value
            if len(self._few) * _SPARSE > max(slot, 1024):
                self._spread()
        else:
            self._put(self._many, slot, value)

    def discard(self, slot: int) -> None:
        """Remove the number of a slot that has one."""
        self._count -= 1
        if self._few.pop(slot, None) is None and self._many is not None:
            if self._holders is not None:
                value = float(self._many[slot])
                self._holders[value].discard(slot)
                if not self._holders[value]:
                    del self._holders[value]
            self._many[slot] = np.nan

    def any_of(self, values: Sequence[int | float], among: BitMap) -> BitMap:
        """The slots `among` these that have one of these numbers."""
        wanted = set(values)
        found = BitMap(s for s, v in self._few_of(among) if v in wanted)
        exact = [f for v in wanted if (f := _as_float(v)) is not None]
        if self._holders is not None:
            return found | self._held(exact, among)
        if self._many is not None and exact:
            found |= _those(
                self._many,
                among,
                lambda v: v == exact[0] if len(exact) == 1 else np.isin(v, exact),
            )
        return found

    def within(self, bounds: Condition, among: BitMap) -> BitMap:
        """The slots `among` these whose number is within the bounds."""
        found = BitMap(s for s, v in self._few_of(among) if _holds(v, bounds))
        if self._holders is not None:
            return found | self._held([v for v in self._holders if _holds(v, bounds)], among)
        if self._many is not None and among:
            found |= _those(self._many, among, lambda values: within(values, bounds))
        return found

    def of(self, allowed: BitMap) -> tuple[NDArray[np.float64], list[int]]:
        """Numbers of the allowed slots that have one, in no order.

        Returns:
            float64 (N,), and the integers that are large (`is_large`).
        """
        return numbers_of(self._few, self._many, allowed)

    def _few_of(self, among: BitMap) -> Iterable[tuple[int, int | float]]:
        if len(among) < len(self._few):
            return ((s, self._few[s]) for s in among if s in self._few)
        return ((s, v) for s, v in self._few.items() if s in among)

    def _held(self, values: Iterable[float], among: BitMap) -> BitMap:
        holders = self._holders or {}
        return BitMap().union(*(holders[v] for v in values if v in holders)) & among

    @property
    def are_compared(self) -> bool:
        """Whether many are compared, each with what is asked for: that takes long."""
        return (self._many is not None and self._holders is None) or len(self._few) > _QUICK

    def shared(self) -> "Numbers":
        """To be compared while others are written; about those it says anything."""
        twin = Numbers()
        twin._few, twin._many, twin._count = self._few.copy(), self._many, self._count
        return twin

    def copy(self) -> "Numbers":
        """A copy without bitmaps, which nobody changes."""
        twin = Numbers()
        twin._few, twin._count = self._few.copy(), self._count
        twin._many = None if self._many is None else self._many.copy()
        return twin

    def dump(self, mask: NDArray[np.bool_], blobs: BlobWriter) -> dict[str, Any]:
        """The numbers of the slots in a mask (slots,)."""
        # Slots beyond the mask came after it was made.
        few = [(s, value) for s, value in self._few.items() if s < len(mask) and mask[s]]
        dumped: dict[str, Any] = {"slots": [s for s, _ in few], "values": [v for _, v in few]}
        if self._many is not None:
            many = self._many[: len(mask)]
            dumped["many"] = blobs.add(np.where(mask[: len(many)], many, np.nan).tobytes())
        return dumped

    @classmethod
    def load(cls, dumped: dict[str, Any], blobs: BlobReader, slots: int) -> "Numbers":
        """Numbers that were dumped.

        Raises:
            ValueError: they are of other slots than the first `slots`.
        """
        numbers = cls()
        numbers._few = dict(zip(dumped["slots"], dumped["values"], strict=True))
        if not all(0 <= slot < slots for slot in numbers._few):
            raise ValueError(f"numbers of slots beyond {slots}")
        numbers._count = len(numbers._few)
        if "many" in dumped:
            many = np.frombuffer(blobs.get(dumped["many"]), np.float64).copy()
            if len(many) > slots:
                raise ValueError(f"{len(many)} numbers of {slots} slots")
            numbers._many, numbers._holders = many, _holders_of(many)
            numbers._count += int(np.count_nonzero(~np.isnan(many)))
        return numbers

    def _spread(self) -> None:
        """Move from the dictionary to an array."""
        few, self._few, self._holders = self._few, {}, {}
        self._many = np.full(2 * max(few), np.nan)
        for slot, value in few.items():
            self._put(self._many, slot, value)

    def _put(self, many: NDArray[np.float64], slot: int, value: int | float) -> None:
        if slot >= len(many):
            self._many = np.concatenate([many, np.full(slot + 1, np.nan)])
            many = self._many
        if is_large(value):
            self._few[slot] = value
            return
        many[slot] = value
        if self._holders is not None:
            self._holders.setdefault(float(value), BitMap()).add(slot)
            if len(self._holders) > _DISTINCT:
                self._holders = None


def slots_of(bitmap: BitMap) -> NDArray[np.int64]:
    """The members of a bitmap, ascending (S,)."""
    return np.frombuffer(bitmap.to_array(), np.uint32).astype(np.int64)


def _those(
    many: NDArray[np.float64],
    among: BitMap,
    are_wanted: Callable[[NDArray[np.float64]], NDArray[np.bool_]],
) -> BitMap:
    """The slots `among` these whose numbers are wanted, by the numbers (slots,) of all."""
    if len(among) * _DENSE > len(many):
        return bitmap_of(np.flatnonzero(are_wanted(many))) & among
    slots = slots_of(among)
    slots = slots[: np.searchsorted(slots, len(many))]
    return bitmap_of(slots[are_wanted(many[slots])])


def bitmap_of(slots: NDArray[np.integer]) -> BitMap:
    """The bitmap of some slots (S,)."""
    values = array.array("I")
    values.frombytes(slots.astype(np.uint32).tobytes())
    return BitMap(values)


def _holders_of(many: NDArray[np.float64]) -> dict[float, BitMap] | None:
    """Slots by number; None where too many numbers differ."""
    slots = np.flatnonzero(~np.isnan(many))
    if len(slots) == 0:
        return {}
    if len(set(many[slots[: 4 * _DISTINCT]].tolist())) > _DISTINCT:
        return None
    values, which = np.unique(many[slots], return_inverse=True)
    if len(values) > _DISTINCT:
        return None
    order = np.argsort(which, kind="stable")
    parts = np.split(slots[order], np.searchsorted(which[order], np.arange(1, len(values))))
    return {value: bitmap_of(part) for value, part in zip(values.tolist(), parts, strict=True)}


def _as_float(value: int | float) -> float | None:
    """The float that equals a number, if there is one."""
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if found == value else None


def _holds(value: int | float, bounds: Condition) -> bool:
    return (
        (bounds.gt is None or value > bounds.gt)
        and (bounds.gte is None or value >= bounds.gte)
        and (bounds.lt is None or value < bounds.lt)
        and (bounds.lte is None or value <= bounds.lte)
    )
