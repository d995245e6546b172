"""Who has which value: a bitmap of slots for each value of each field and attribute.

Roaring bitmaps (Lemire et al. 2016, "Consistently faster and smaller compressed bitmaps with
Roaring") combine in microseconds, so a filter is evaluated before the search, not along with it.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, cast

from pyroaring import BitMap

from service.index.base import Facets
from service.index.filters import FIELDS, Condition, Filter
from service.index.numbers import Numbers

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
