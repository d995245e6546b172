"""Counts of values among some slots, from bitmaps that may gain and lose others meanwhile."""

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from service.index.facets import FieldCounts, NumberSummary, ValueCount
from service.index.filters import Scalar

_DECILES = np.linspace(0, 1, 11)
_EXACT = 1 << 53
"""Float64 holds every integer up to this one."""


def frequent(
    holders: Iterable[tuple[Scalar, int | BitMap]], allowed: BitMap, most: int
) -> tuple[list[ValueCount], bool]:
    """The values that most of the allowed slots have, and whether there are others.

    Bitmaps are counted by their sizes, the largest first, until no other one can be among them.

    Args:
        holders: values, and the slot or the slots that have each.
        allowed: slots that count.
        most: values that are wanted.
    """
    single: list[Scalar] = []
    shared: list[tuple[int, Scalar, BitMap]] = []
    for value, held in holders:
        if isinstance(held, BitMap):
            shared.append((len(held), value, held))
        elif held in allowed:
            single.append(value)
    shared.sort(key=lambda each: -each[0])
    best: list[int] = []  # counts that are the highest so far, as a heap
    found: list[ValueCount] = []
    is_more = False
    for place, (size, value, held) in enumerate(shared):
        if len(best) == most and size < best[0]:
            is_more = any(other.intersect(allowed) for _, _, other in shared[place:])
            break
        count = held.intersection_cardinality(allowed)
        if count:
            found.append(ValueCount(value, count))
            (heapq.heappush if len(best) < most else heapq.heappushpop)(best, count)
    if len(found) < most:
        found += [ValueCount(value, 1) for value in heapq.nsmallest(most + 1, single, key=str)]
    elif single:
        is_more = True
    found.sort(key=lambda each: (-each.count, str(each.value)))
    return found[:most], is_more or len(found) > most


def is_large(value: int | float) -> bool:
    """Whether it is an integer that float64 may not hold."""
    return isinstance(value, int) and abs(value) > _EXACT


def numbers_of(
    few: Mapping[int, int | float], many: NDArray[np.float64] | None, allowed: BitMap
) -> tuple[NDArray[np.float64], list[int]]:
    """Numbers of the allowed slots, of several places where they are kept.

    Returns:
        float64 (N,), and the integers that are large.
    """
    mine = [value for slot, value in few.items() if slot in allowed]
    large = [int(value) for value in mine if is_large(value)]
    kept = np.array([float(value) for value in mine if not is_large(value)], np.float64)
    if many is None:
        return kept, large
    slots = np.frombuffer(allowed.to_array(), np.uint32)
    slots = slots[: np.searchsorted(slots, len(many))]
    found = many[slots]
    return np.concatenate([kept, found[~np.isnan(found)]]), large


def field_counts(
    field: str,
    holders: Iterable[tuple[Scalar, int | BitMap]],
    numbers: NDArray[np.float64],
    large: Sequence[int],
    allowed: BitMap,
    most: int,
) -> FieldCounts:
    """What is told of one field.

    Args:
        field: its name.
        holders: as `frequent` takes them, of values that are no numbers.
        numbers: of the allowed slots (N,), but for large integers.
        large: these, each as often as a slot has it.
        allowed: slots that count.
        most: values that are wanted.
    """
    values, is_more = frequent(holders, allowed, most)
    if not len(numbers) and not large:
        return FieldCounts(field, values, is_more)
    distinct, counts = np.unique(numbers, return_counts=True)  # (U,), (U,)
    for place in np.argsort(-counts, kind="stable")[:most].tolist():
        number = float(distinct[place])
        is_whole = number.is_integer() and abs(number) <= _EXACT
        values.append(ValueCount(int(number) if is_whole else number, int(counts[place])))
    by_size = sorted(Counter(large).items())
    values += [ValueCount(number, count) for number, count in by_size]
    values.sort(key=lambda each: -each.count)
    both = np.concatenate([numbers, np.array(large, np.float64)])
    deciles: list[float] = np.quantile(both, _DECILES, method="inverted_cdf").tolist()
    is_more = is_more or len(distinct) > most or len(values) > most
    return FieldCounts(field, values[:most], is_more, NumberSummary(len(both), deciles))
