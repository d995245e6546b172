"""What two models' answers to a question have in common: one rule for comparisons and shadows."""

from collections.abc import Sequence
from typing import NamedTuple


class Overlap(NamedTuple):
    """What two answers have in common.

    Attributes:
        share: of the longer answer, found by both.
        is_same_first: whether the best hit is the same.
        moved: places by which each hit that both have differs.
    """

    share: float
    is_same_first: bool
    moved: Sequence[int]


def overlap_of(first: Sequence[str], second: Sequence[str]) -> Overlap | None:
    """Compare two answers, best hits first; None where both are empty, which says nothing."""
    most = max(len(first), len(second))
    if not most:
        return None
    places = {name: place for place, name in enumerate(second)}
    moved = [abs(place - places[name]) for place, name in enumerate(first) if name in places]
    return Overlap(len(moved) / most, first[:1] == second[:1], moved)
