"""Rows by their slots, for what is kept beside each of them."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from service.index.facets import FieldCounts
from service.index.faiss.rows.numeric import slots_of
from service.index.faiss.rows.table import Rows
from service.index.filters import Condition, Filter
from service.index.slots import LiveSlots, SlotBlock, ValueClass, ValueClasses

_AT_ONCE = 64
"""So many rows are copied before a waiting writer gets its turn."""
_IDS_AT_ONCE = 1024


class BySlot:
    """Implements `Slotted` on the rows of an index."""

    def __init__(self, rows: Rows) -> None:
        """Read these rows."""
        self._rows = rows

    def live_slots(self) -> LiveSlots:
        """The slots of all streamers that have a vector; `Slotted.live_slots`."""
        with self._rows.lock:
            live, versions = self._rows.live.copy(), self._rows.columns.versions
        slots = slots_of(live).astype(np.uint32)
        return LiveSlots(slots, versions[slots])

    def read_slots(self, slots: NDArray[np.uint32]) -> SlotBlock:
        """What is in some slots; `Slotted.read_slots`."""
        rows, ids = self._rows, list[str]()
        kept: list[int] = []
        versions: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        embeddings: list[NDArray[np.float32]] = [np.empty((0, rows.dim), np.float32)]
        for part in _parts(slots, _AT_ONCE):
            with rows.lock:
                here = [slot for slot in part if slot in rows.live]
                ids += [rows.ids[slot] for slot in here]
                versions.append(rows.columns.versions[here])
                embeddings.append(rows.columns.embeddings[here])
            kept += here
        return SlotBlock(
            np.array(kept, np.uint32), np.concatenate(versions), np.concatenate(embeddings), ids
        )

    def ids_in(self, slots: NDArray[np.uint32]) -> list[str]:
        """The ids in some slots; `Slotted.ids_in`."""
        rows, ids = self._rows, list[str]()
        for part in _parts(slots, _IDS_AT_ONCE):
            with rows.lock:
                ids += [rows.ids[slot] if slot in rows.live else "" for slot in part]
        return ids

    def slots_of(self, ids: Sequence[str]) -> list[int | None]:
        """Live slots of streamers; `Slotted.slots_of`."""
        rows, found = self._rows, list[int | None]()
        for start in range(0, len(ids), _IDS_AT_ONCE):
            with rows.lock:
                slots = [rows.slot_of.get(name) for name in ids[start : start + _IDS_AT_ONCE]]
                found += [s if s is not None and s in rows.live else None for s in slots]
        return found

    def value_classes(self, field: str, most: int) -> ValueClasses:
        """Classes of one field; `Slotted.value_classes`."""
        rows = self._rows
        with rows.reading(Filter(), (), False) as view:
            live = view.allowed
            with rows.lock:
                columns, used = rows.attributes.copy_of([field]), len(rows.ids)
            (counts,) = columns.counts([field], live, most)
            codes = np.zeros(used, np.uint8)
            classes: list[ValueClass] = []
            for one, condition in _classes(field, counts, most):
                held = columns.allowed(Filter([condition]), live, _no_slots)
                codes[slots_of(held)] = len(classes) + 1
                classes.append(
                    one if one.count else ValueClass(one.value, one.gte, one.lte, len(held))
                )
        return ValueClasses(classes, codes)


def _classes(field: str, counts: FieldCounts, most: int) -> Iterator[tuple[ValueClass, Condition]]:
    """Classes of a field, and who is in each; the last range alone has its upper bound."""
    if counts.numbers is None:
        for value in counts.values:
            known = ValueClass(value.value, None, None, value.count)
            yield known, Condition(field, any=[value.value])
        return
    bounds = sorted({*counts.numbers.deciles[::2]})
    pairs = list(pairwise(bounds))[: most - 1] or [(bounds[0], bounds[0])]
    for low, high in pairs[:-1]:
        yield ValueClass(None, low, high, 0), Condition(field, gte=low, lt=high)
    low, high = pairs[-1]
    yield ValueClass(None, low, high, 0), Condition(field, gte=low, lte=high)


def _parts(slots: NDArray[np.uint32], at_once: int) -> Iterator[list[int]]:
    for start in range(0, len(slots), at_once):
        yield slots[start : start + at_once].tolist()


def _no_slots(ids: object) -> frozenset[int]:
    """Nobody is asked for by id here."""
    del ids
    return frozenset()
