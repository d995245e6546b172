"""Who has which value: a bitmap of slots for each value of each field and attribute.

Roaring bitmaps (Lemire et al. 2016, "Consistently faster and smaller compressed bitmaps with
Roaring") combine in microseconds, so a filter is evaluated before the search, not along with it.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from service.index.base import Facets
from service.index.faiss.rows.numeric import Numbers
from service.index.faiss.snapshot.blobs import Packer, Unpacker
from service.index.filters import FIELDS, Condition, Filter

_TRUE, _FALSE = object(), object()
"""What stands for the two, since True == 1 would share its bitmap."""
_Name = tuple[bool, str]
"""Whether it is a field of the profile, and its name."""


class _Column:
    """One field or attribute: who has which value.

    Numbers are apart: most are different for each streamer, and bitmaps of one slot take much room.
    """

    def __init__(self) -> None:
        # A value that one slot alone has is common (names, links): the number says it.
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
        """Those of some slots that have at least one of the values."""
        held = [self.holders[v] for v in values if v in self.holders]
        found = BitMap(h for h in held if isinstance(h, int))
        found = found.union(*(h for h in held if isinstance(h, BitMap))) & among
        numbers = [v for v in values if isinstance(v, int | float)]
        return found | self.numbers.any_of(numbers, among) if numbers else found

    def copy(self) -> "_Column":
        """The same; bitmaps are shared until `part_with_bitmaps`, and gain and lose slots."""
        twin = _Column()
        twin.holders, twin.numbers = self.holders.copy(), self.numbers.copy()
        return twin

    def part_with_bitmaps(self) -> None:
        for value, held in self.holders.items():
            if isinstance(held, BitMap):
                self.holders[value] = held.copy()

    def dump(self, mask: NDArray[np.bool_], live: BitMap, pack: Packer) -> dict[str, Any]:
        """What the slots in a mask (slots,), which are the `live` ones, have."""
        single: list[tuple[object, int]] = []
        shared: list[tuple[object, list[int]]] = []
        for value, held in self.holders.items():
            if isinstance(held, int):
                if held < len(mask) and mask[held]:
                    single.append((_shown(value), held))
            elif kept := held & live:
                shared.append((_shown(value), pack.add(kept.serialize())))
        return {
            "single": [value for value, _ in single],
            "slots": pack.add(np.array([slot for _, slot in single], "<u4").tobytes()),
            "shared": [value for value, _ in shared],
            "bitmaps": [place for _, place in shared],
            "numbers": self.numbers.dump(mask, pack),
        }

    @classmethod
    def load(cls, dumped: dict[str, Any], parts: Unpacker, slots: int) -> "_Column":
        """What was dumped; raises as `Attributes.load`."""
        column = cls()
        single: list[int] = parts.slots(dumped["slots"], slots).tolist()
        column.holders.update(zip(map(_key, dumped["single"]), single, strict=True))
        for value, place in zip(dumped["shared"], dumped["bitmaps"], strict=True):
            held = BitMap.deserialize(bytes(parts.get(place)))
            if not held or held.max() >= slots:
                raise ValueError(f"a bitmap of slots beyond {slots}")
            column.holders[_key(value)] = held
        column.numbers = Numbers.load(dumped["numbers"], parts, slots)
        return column


class Attributes:
    """The values of all slots; not safe to use from several threads."""

    def __init__(self) -> None:
        self._columns: dict[_Name, _Column] = {}

    @property
    def names(self) -> int:
        """How many fields and attributes somebody has a value of."""
        return len(self._columns)

    def add(self, slot: int, facets: Facets) -> None:
        """Remember what a slot has that is not there yet."""
        for name, value in _values(facets):
            column = self._columns.get(name)
            if column is None:
                column = self._columns[name] = _Column()
            column.add(value, slot)

    def discard(self, slot: int, facets: Facets) -> None:
        """Forget a slot; facets are those that it was added with."""
        for name, value in _values(facets):
            column = self._columns[name]
            column.discard(value, slot)
            if not column:
                del self._columns[name]

    def allowed(self, wanted: Filter, among: BitMap) -> BitMap:
        """Which of these slots the filter lets through."""
        for condition in wanted.must:
            among = self._holding(condition, among)
        for condition in wanted.must_not:
            among = among - self._holding(condition, among)
        return among

    def columns(self) -> list[tuple[bool, str]]:
        """What `copy` takes."""
        return list(self._columns)

    def copy(self, name: tuple[bool, str]) -> "Attributes":
        """One column, or as much as is left of it, in a moment; `settle` it before it is used."""
        part = Attributes()
        if name in self._columns:
            part._columns[name] = self._columns[name].copy()
        return part

    def settle(self) -> None:
        """Share nothing any more with what this was copied from, which may change meanwhile.

        Of slots that stay as they are from before the copy until after this, it has everything;
        of others, anything.
        """
        for column in self._columns.values():
            column.part_with_bitmaps()

    def dump(self, mask: NDArray[np.bool_], live: BitMap, pack: Packer) -> list[dict[str, Any]]:
        """What some slots have, as JSON holds it and with bytes beside it.

        Args:
            mask: bool (slots,), whose it is.
            live: the same.
            pack: takes the bytes.
        """
        return [
            {"field": name[0], "name": name[1], **column.dump(mask, live, pack)}
            for name, column in self._columns.items()
        ]

    def load(self, dumped: dict[str, Any], parts: Unpacker, slots: int) -> None:
        """Take in one column that was dumped.

        Raises:
            ValueError, KeyError, TypeError: it is none, or of more slots than these.
        """
        name = bool(dumped["field"]), str(dumped["name"])
        self._columns[name] = _Column.load(dumped, parts, slots)
        if not self._columns[name]:
            del self._columns[name]

    def _holding(self, condition: Condition, among: BitMap) -> BitMap:
        column = self._columns.get(_name(condition.field))
        if column is None:
            return BitMap()
        if condition.any is not None:
            among = column.any_of(_keys(condition.any), among)
        for value in _keys(condition.all or ()):
            among = column.any_of((value,), among)
        return column.numbers.within(condition, among) if condition.is_bounded else among


def _name(field: str) -> _Name:
    return field in FIELDS, field.removeprefix("attributes.")


def _key(value: object) -> object:
    """By what a value is known: 1 is 1.0, and True is neither."""
    if isinstance(value, bool):
        return _TRUE if value else _FALSE
    return value


def _shown(key: object) -> object:
    """The value that is known by a key, for JSON."""
    return {_TRUE: True, _FALSE: False}.get(key, key)


def _keys(values: Sequence[object]) -> set[object]:
    return {_key(value) for value in values}


def _values(facets: Facets) -> Iterator[tuple[_Name, object]]:
    """Name and key of each value, none of them twice."""
    for field in FIELDS:
        value: Any = facets.get(field)
        if value is None:
            continue
        for key in _keys(cast(list[Any], value)) if isinstance(value, list) else (value,):
            yield (True, field), key
    for name, value in cast(dict[str, Any], facets.get("attributes", {})).items():
        yield (False, name), _key(value)
