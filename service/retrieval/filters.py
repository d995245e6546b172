"""Attribute filters: which streamers may be in an answer.

`language`, `category` and `tags` are the profile's fields; any other name is an attribute
(`attributes.NAME` always is). A streamer that lacks the field fulfils no condition on it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from service.index.base import Facets, Predicate

Scalar = str | int | float | bool
_FIELDS = frozenset({"language", "category", "tags"})


@dataclass(frozen=True)
class Condition:
    """What one field must be; everything that is given must hold.

    `any`: one of these values (of a list: at least one of them). `all`: all of these are in the
    list. `gt`, `gte`, `lt`, `lte`: bounds of a number.
    """

    field: str
    any: Sequence[Scalar] | None = None
    all: Sequence[Scalar] | None = None
    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None


@dataclass(frozen=True)
class Filter:
    """All of `must` hold and none of `must_not`."""

    must: Sequence[Condition] = ()
    must_not: Sequence[Condition] = ()

    def predicate(self) -> Predicate | None:
        """The filter as a function of id and facets; None when it lets everything through."""
        if not self.must and not self.must_not:
            return None
        wanted = [_holds(condition) for condition in self.must]
        unwanted = [_holds(condition) for condition in self.must_not]

        def allows(_: str, facets: Facets) -> bool:
            return all(holds(facets) for holds in wanted) and not any(
                holds(facets) for holds in unwanted
            )

        return allows


def _key(value: object) -> tuple[bool, object]:
    """True is not 1 here, but 1 is 1.0."""
    return isinstance(value, bool), value


def _holds(condition: Condition) -> Callable[[Facets], bool]:
    name = condition.field.removeprefix("attributes.")
    is_field = condition.field in _FIELDS
    one_of = None if condition.any is None else {_key(v) for v in condition.any}
    every = None if condition.all is None else {_key(v) for v in condition.all}

    def holds(facets: Facets) -> bool:
        value: Any = (facets if is_field else facets.get("attributes", {})).get(name)
        if value is None:
            return False
        values = {_key(v) for v in (cast(list[Any], value) if isinstance(value, list) else [value])}
        if one_of is not None and not one_of & values:
            return False
        if every is not None and not every <= values:
            return False
        return _in_bounds(condition, cast(object, value))

    return holds


def _in_bounds(condition: Condition, value: object) -> bool:
    bounds = (condition.gt, condition.gte, condition.lt, condition.lte)
    if all(bound is None for bound in bounds):
        return True
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return (
        (condition.gt is None or value > condition.gt)
        and (condition.gte is None or value >= condition.gte)
        and (condition.lt is None or value < condition.lt)
        and (condition.lte is None or value <= condition.lte)
    )
