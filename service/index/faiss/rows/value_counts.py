"""Counts of values among some slots, from bitmaps that may gain and lose others meanwhile."""

import heapq
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from service.index.facets import FieldCounts, NumberSummary, ValueCount
from service.index.filters import Scalar

_DECILES = np.linspace(0, 1, 11)


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


def numbers_of(
    few: Mapping[int, int | float], many: NDArray[np.float64] | None, allowed: BitMap
) -> NDArray[np.float64]:
    """Numbers of the allowed slots (N,); of several places where they are kept."""
    kept = np.array([float(v) for slot, v in few.items() if slot in allowed], np.float64)
    if many is None:
        return kept
    slots = np.frombuffer(allowed.to_array(), np.uint32)
    slots = slots[: np.searchsorted(slots, len(many))]
    found = many[slots]
    return np.concatenate([kept, found[~np.isnan(found)]])


def field_counts(
    field: str,
    holders: Iterable[tuple[Scalar, int | BitMap]],
    numbers: NDArray[np.float64],
    allowed: BitMap,
    most: int,
) -> FieldCounts:
    """What is told of one field.

    Args:
        field: its name.
        holders: as `frequent` takes them, of values that are no numbers.
        numbers: of the allowed slots (N,).
        allowed: slots that count.
        most: values that are wanted.
    """
    values, is_more = frequent(holders, allowed, most)
    if not len(numbers):
        return FieldCounts(field, values, is_more)
    distinct, counts = np.unique(numbers, return_counts=True)  # (U,), (U,)
    for place in np.argsort(-counts, kind="stable")[:most].tolist():
        number = float(distinct[place])
        shown = int(number) if number.is_integer() else number
        values.append(ValueCount(shown, int(counts[place])))
    values.sort(key=lambda each: -each.count)
    deciles: list[float] = np.quantile(numbers, _DECILES, method="inverted_cdf").tolist()
    is_more = is_more or len(distinct) > most or len(values) > most
    return FieldCounts(field, values[:most], is_more, NumberSummary(len(numbers), deciles))
