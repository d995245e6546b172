"""Inverted index of facets: a bitmap of slots for each value of each field and attribute.

Roaring bitmaps (Lemire et al. 2016, "Consistently faster and smaller compressed bitmaps with
Roaring") combine in microseconds, so a filter is evaluated before the search, not along with it.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from service.index.base import Facets
from service.index.facets import FieldCounts
from service.index.faiss.rows.numeric import Numbers
from service.index.faiss.rows.value_counts import field_counts
from service.index.faiss.snapshot.blobs import BlobReader, BlobWriter
from service.index.filters import FIELDS, STREAMER_ID, Condition, Filter, Scalar, Unknown

_NO_LOCK = nullcontext()
_TRUE, _FALSE = object(), object()
"""What stands for the two, since True == 1 would share its bitmap."""
Name = tuple[bool, str]
"""Whether it is a field of the profile, and its name."""
SlotsOf = Callable[[Iterable[object]], Collection[int]]
"""The slots of streamers by their ids; what is nobody's id has none."""


class _Column:
    """Slots by value of one field or attribute.

    Numbers are kept separately: most differ for each streamer, and bitmaps of one slot take much
    room.
    """

    def __init__(self) -> None:
        # Values that one slot alone has are common (names, links): a number takes less room.
        self.holders: dict[object, int | BitMap] = {}
        self.numbers = Numbers()

    def __bool__(self) -> bool:
        return bool(self.holders or len(self.numbers))

    def add(self, value: object, slot: int) -> None:
        if isinstance(value, int | float):
            self.numbers.add(slot, value)
            return
        held = self.holders.get(value)
        if held is None:
            self.holders[value] = slot
        elif isinstance(held, int):
            self.holders[value] = BitMap((held, slot))
        else:
            held.add(slot)

    def discard(self, value: object, slot: int) -> None:
        if isinstance(value, int | float):
            self.numbers.discard(slot)
            return
        held = self.holders[value]
        if isinstance(held, BitMap) and len(held) > 1:
            held.remove(slot)
        else:
            del self.holders[value]

    def any_of(self, values: Collection[object], among: BitMap) -> BitMap:
        """The slots `among` these that have at least one of the values."""
        held = [self.holders[v] for v in values if v in self.holders]
        found = BitMap(h for h in held if isinstance(h, int))
        found = found.union(*(h for h in held if isinstance(h, BitMap))) & among
        numbers = [v for v in values if isinstance(v, int | float)]
        return found | self.numbers.any_of(numbers, among) if numbers else found

    def part_for(self, condition: Condition) -> "_Column":
        """What a condition reads, numbers as `Numbers.shared`."""
        twin = _Column()
        for value in _keys((*(condition.any or ()), *(condition.all or ()))):
            if (held := self.holders.get(value)) is not None:
                twin.holders[value] = held if isinstance(held, int) else held.copy()
        twin.numbers = self.numbers.shared()
        return twin

    def copy(self) -> "_Column":
        """A copy that shares bitmaps, which gain and lose slots, until `part_with_bitmaps`."""
        twin = _Column()
        twin.holders, twin.numbers = self.holders.copy(), self.numbers.copy()
        return twin

    def part_with_bitmaps(self) -> None:
        for value, held in self.holders.items():
            if isinstance(held, BitMap):
                self.holders[value] = held.copy()

    def dump(self, mask: NDArray[np.bool_], live: BitMap, blobs: BlobWriter) -> dict[str, Any]:
        """Values of the slots in a mask (slots,), which are the `live` ones, for JSON."""
        single: list[tuple[object, int]] = []
        shared: list[tuple[object, list[int]]] = []
        for value, held in self.holders.items():
            if isinstance(held, int):
                if held < len(mask) and mask[held]:
                    single.append((_shown(value), held))
            elif kept := held & live:
                shared.append((_shown(value), blobs.add(kept.serialize())))
        return {
            "single": [value for value, _ in single],
            "slots": blobs.add(np.array([slot for _, slot in single], "<u4").tobytes()),
            "shared": [value for value, _ in shared],
            "bitmaps": [place for _, place in shared],
            "numbers": self.numbers.dump(mask, blobs),
        }

    @classmethod
    def load(cls, dumped: dict[str, Any], blobs: BlobReader, slots: int) -> "_Column":
        """A column that was dumped; raises as `Attributes.load`."""
        column = cls()
        single: list[int] = blobs.slots(dumped["slots"], slots).tolist()
        column.holders.update(zip(map(_key, dumped["single"]), single, strict=True))
        for value, place in zip(dumped["shared"], dumped["bitmaps"], strict=True):
            held = BitMap.deserialize(bytes(blobs.get(place)))
            if not held or held.max() >= slots:
                raise ValueError(f"a bitmap of slots beyond {slots}")
            column.holders[_key(value)] = held
        column.numbers = Numbers.load(dumped["numbers"], blobs, slots)
        return column


class Attributes:
    """Values of all slots. Not safe from several threads."""

    def __init__(self) -> None:
        self._columns: dict[Name, _Column] = {}

    def add(self, slot: int, facets: Facets) -> None:
        """Add a slot with its facets."""
        for name, value in _values(facets):
            column = self._columns.get(name)
            if column is None:
                column = self._columns[name] = _Column()
            column.add(value, slot)

    def discard(self, slot: int, facets: Facets) -> None:
        """Remove a slot; facets are those that it was added with."""
        for name, value in _values(facets):
            column = self._columns[name]
            column.discard(value, slot)
            if not column:
                del self._columns[name]

    def allowed(self, wanted: Filter, among: BitMap, slots_of: SlotsOf) -> BitMap:
        """The slots `among` these that a filter lets through; `slots_of` knows streamers by id."""
        for condition in wanted.must:
            among = self.holding(condition, among, slots_of)
        for condition in wanted.must_not:
            among = among - self.holding(condition, among, slots_of)
        return among

    def holding(self, condition: Condition, among: BitMap, slots_of: SlotsOf) -> BitMap:
        """The slots `among` these that fulfil one condition."""
        if not among:
            return among
        if condition.field == STREAMER_ID:
            return _with_ids(condition, among, slots_of)
        column = self._columns.get(_name(condition.field))
        if column is None:
            return BitMap()
        if condition.any is not None:
            among = column.any_of(_keys(condition.any), among)
        for value in _keys(condition.all or ()):
            among = column.any_of((value,), among)
        return column.numbers.within(condition, among) if condition.is_bounded else among

    def part_for(self, condition: Condition) -> "Attributes | None":
        """What one condition reads, where that takes long; None where `holding` is quick.

        It may be asked while the original is changed. About slots that are written or left
        meanwhile it says anything.
        """
        name = _name(condition.field)
        column = self._columns.get(name)
        if condition.field == STREAMER_ID or column is None or not column.numbers.are_compared:
            return None
        values = (*(condition.any or ()), *(condition.all or ()))
        if not (condition.is_bounded or any(isinstance(v, int | float) for v in values)):
            return None
        part = Attributes()
        part._columns[name] = column.part_for(condition)
        return part

    def unknown(self, wanted: Filter, lock: AbstractContextManager[object] = _NO_LOCK) -> Unknown:
        """What of a filter no slot has; others may have the lock between two conditions."""
        fields: dict[str, None] = {}
        values: dict[tuple[str, Scalar], None] = {}
        for condition in (*wanted.must, *wanted.must_not):
            field = condition.field
            with lock:
                column, is_id = self._columns.get(_name(field)), field == STREAMER_ID
                if column is None and not is_id:
                    fields[field] = None
                    continue
                for value in (*(condition.any or ()), *(condition.all or ())):
                    if is_id or column is None:
                        is_known = isinstance(value, str)
                    else:
                        is_told = isinstance(value, str | bool) or field in FIELDS
                        is_known = not is_told or _key(value) in column.holders
                    if not is_known:
                        values[field, value] = None
        return Unknown(tuple(fields), tuple(values))

    def known(self) -> list[str]:
        """Fields that some slot has a value of, as a filter has them, by name."""
        return sorted(_shown_name(name) for name in self._columns)

    def counts(self, fields: Sequence[str], allowed: BitMap, most: int) -> list[FieldCounts]:
        """The most frequent values of fields among the allowed slots; empty where there are none.

        For a copy: other slots may be written meanwhile.
        """
        found: list[FieldCounts] = []
        for field in fields:
            column = self._columns.get(_name(field)) or _Column()
            shown = ((_shown(key), held) for key, held in column.holders.items())
            numbers, large = column.numbers.of(allowed)
            found.append(field_counts(field, shown, numbers, large, allowed, most))
        return found

    def columns(self) -> list[Name]:
        """Names that `copy` takes."""
        return list(self._columns)

    def copy(self, name: Name) -> "Attributes":
        """One column, or what is left of it, in a moment; `settle` it before it is used."""
        return self._copy_of([name])

    def copy_of(self, fields: Sequence[str]) -> "Attributes":
        """Columns of these fields, likewise; `counts` may be asked at once."""
        return self._copy_of([_name(field) for field in fields])

    def _copy_of(self, names: Sequence[Name]) -> "Attributes":
        part = Attributes()
        part._columns = {n: self._columns[n].copy() for n in names if n in self._columns}
        return part

    def settle(self) -> None:
        """Stop sharing bitmaps with the original, which may change meanwhile.

        Slots that stay as they are from before the copy until after this are complete in it; about
        others it says anything.
        """
        for column in self._columns.values():
            column.part_with_bitmaps()

    def dump(
        self, mask: NDArray[np.bool_], live: BitMap, blobs: BlobWriter
    ) -> list[dict[str, Any]]:
        """Values of some slots, for JSON and with bytes beside it.

        Args:
            mask: bool (slots,), true for these slots.
            live: the same slots.
            blobs: takes the bytes.
        """
        return [
            {"field": name[0], "name": name[1], **column.dump(mask, live, blobs)}
            for name, column in self._columns.items()
        ]

    def load(self, dumped: dict[str, Any], blobs: BlobReader, slots: int) -> None:
        """Take in one column that was dumped.

        Raises:
            ValueError, KeyError, TypeError: it is not one, or has slots beyond `slots`.
        """
        name = bool(dumped["field"]), str(dumped["name"])
        self._columns[name] = _Column.load(dumped, blobs, slots)
        if not self._columns[name]:
            del self._columns[name]


def let_through(wanted: Filter, rows: Sequence[tuple[str, Facets]]) -> tuple[list[bool], list[str]]:
    """Whom a filter lets through, of streamers that need not be in an index.

    Args:
        wanted: the filter.
        rows: ids and facets.

    Returns:
        For each whether it is let through; and the fields of the filter that none of them has.
    """
    attributes, slots = Attributes(), {streamer_id: i for i, (streamer_id, _) in enumerate(rows)}
    for slot, (_, facets) in enumerate(rows):
        attributes.add(slot, facets)

    def slots_of(ids: Iterable[object]) -> Collection[int]:
        return [slots[i] for i in ids if isinstance(i, str) and i in slots]

    allowed = attributes.allowed(wanted, BitMap(range(len(rows))), slots_of)
    return [slot in allowed for slot in range(len(rows))], list(attributes.unknown(wanted).fields)


def _with_ids(condition: Condition, among: BitMap, slots_of: SlotsOf) -> BitMap:
    """The slots `among` these whose streamers' ids fulfil a condition: an id is one value."""
    if condition.is_bounded:
        return BitMap()
    if condition.any is not None:
        among = among & BitMap(slots_of(condition.any))
    if condition.all is not None:
        among = among & BitMap(slots_of(condition.all) if len(set(condition.all)) == 1 else ())
    return among


def _name(field: str) -> Name:
    return field in FIELDS, field.removeprefix("attributes.")


def _shown_name(name: Name) -> str:
    is_field, field = name
    is_taken = field in FIELDS or field == STREAMER_ID or field.startswith("attributes.")
    return f"attributes.{field}" if is_taken and not is_field else field


def _key(value: object) -> object:
    """The key of a value: 1 is 1.0, and True is neither."""
    if isinstance(value, bool):
        return _TRUE if value else _FALSE
    return value


def _shown(key: object) -> Any:
    """The value of a key, for JSON."""
    return {_TRUE: True, _FALSE: False}.get(key, key)


def _keys(values: Sequence[object]) -> set[object]:
    return {_key(value) for value in values}


def _values(facets: Facets) -> Iterator[tuple[Name, object]]:
    """Name and key of each value, none of them twice."""
    for field in FIELDS:
        value: Any = facets.get(field)
        if value is None:
            continue
        for key in _keys(cast(list[Any], value)) if isinstance(value, list) else (value,):
            yield (True, field), key
    for name, value in cast(dict[str, Any], facets.get("attributes", {})).items():
        yield (False, name), _key(value)
