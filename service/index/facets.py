"""Facet counts: how many streamers have which value."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.index.filters import Scalar


@dataclass(frozen=True, slots=True)
class ValueCount:
    """A value, and how many streamers have it."""

    value: Scalar
    count: int


@dataclass(frozen=True, slots=True)
class NumberSummary:
    """How the numbers of an attribute are distributed.

    Attributes:
        count: how many streamers have one.
        deciles: lowest, those that 10 %, 20 %, ... of them do not exceed, highest (11,).
    """

    count: int
    deciles: Sequence[float]


@dataclass(frozen=True)
class FieldCounts:
    """Values of one field.

    Attributes:
        field: its name, as a filter has it.
        values: those that most streamers have, equally frequent ones in order of their text.
        more: whether there are other values, which at most as many streamers have.
        numbers: None where no value is a number.
    """

    field: str
    values: Sequence[ValueCount]
    more: bool
    numbers: NumberSummary | None = None


@dataclass(frozen=True)
class FacetCounts:
    """The answer.

    Attributes:
        count: how many streamers the filter lets through.
        fields: as they were asked for.
        known_fields: of all streamers, in order of their names.
        unknown_fields: of the filter and the question, those that no streamer has.
    """

    count: int
    fields: Sequence[FieldCounts]
    known_fields: Sequence[str]
    unknown_fields: Sequence[str]
