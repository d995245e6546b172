"""Attribute filters: which streamers may be in an answer.

`streamer_id`, `language`, `category` and `tags` are fields of the profile; any other name is an
attribute (`attributes.NAME` always is). A streamer that lacks the field fulfils no condition on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scalar = str | int | float | bool
FIELDS = frozenset({"language", "category", "tags"})
"""What facets say of a streamer beside its attributes."""
STREAMER_ID = "streamer_id"
"""The field that every streamer has, with one value of its own."""


@dataclass(frozen=True)
class Condition:
    """What one field must be; everything that is given must hold.

    `any`: one of these values (of a list: at least one of them). `all`: all of these are in the
    list. `gt`, `gte`, `lt`, `lte`: bounds of a number. True is not 1 here, but 1 is 1.0. Whole
    numbers are compared exactly, also those that float64 can't hold.
    """

    field: str
    any: Sequence[Scalar] | None = None
    all: Sequence[Scalar] | None = None
    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None

    @property
    def is_bounded(self) -> bool:
        """Whether it has bounds, which only a number can keep."""
        return not self.gt is self.gte is self.lt is self.lte is None


def within(values: NDArray[np.float64], bounds: Condition) -> NDArray[np.bool_]:
    """Which numbers (N,) keep the bounds of a condition; NaN keeps none."""
    kept = np.isfinite(values)
    for bound, takes_equal in ((bounds.gt, False), (bounds.gte, True)):
        if bound is not None:
            least, is_in = _held(bound, is_least=True, takes_equal=takes_equal)
            kept &= (values >= least) if is_in else (values > least)
    for bound, takes_equal in ((bounds.lt, False), (bounds.lte, True)):
        if bound is not None:
            most, is_in = _held(bound, is_least=False, takes_equal=takes_equal)
            kept &= (values <= most) if is_in else (values < most)
    return kept


def _held(bound: float, *, is_least: bool, takes_equal: bool) -> tuple[float, bool]:
    """A bound as float64 holds it, and whether that itself is within.

    NumPy would round a whole number that float64 can't hold.
    """
    near = float(bound)
    if near == bound:
        return near, takes_equal
    return near, (near > bound) is is_least


@dataclass(frozen=True)
class Filter:
    """All of `must` hold and none of `must_not`."""

    must: Sequence[Condition] = ()
    must_not: Sequence[Condition] = ()

    def __bool__(self) -> bool:
        """Whether it keeps anyone out."""
        return bool(self.must or self.must_not)

    @property
    def values(self) -> int:
        """How many values its conditions list."""
        conditions = (*self.must, *self.must_not)
        return sum(len(each.any or ()) + len(each.all or ()) for each in conditions)


EVERYONE = Filter()


@dataclass(frozen=True)
class Unknown:
    """What of a filter no streamer has, such as what is misspelled; each once, in its order.

    Attributes:
        fields: that nobody has a value of.
        values: with their fields, of those that somebody has a value of. Of numbers nothing is
            told but in the fields of the profile, which have texts, and of ids only what is none.
    """

    fields: tuple[str, ...] = ()
    values: tuple[tuple[str, Scalar], ...] = ()


ALL_KNOWN = Unknown()
