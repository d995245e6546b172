"""Indexes whose rows have slots: for what is kept beside each row, such as its place on a map."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from service.index.base import VectorIndex
from service.index.filters import Scalar


class LiveSlots(NamedTuple):
    """Slots of all streamers that have a vector.

    Attributes:
        slots: uint32 (N,), ascending.
        versions: int64 (N,), of what is in each.
    """

    slots: NDArray[np.uint32]
    versions: NDArray[np.int64]


class SlotBlock(NamedTuple):
    """What is in some slots.

    Attributes:
        slots: uint32 (B,).
        versions: int64 (B,).
        embeddings: float32 (B, D), copies.
        ids: B of them.
    """

    slots: NDArray[np.uint32]
    versions: NDArray[np.int64]
    embeddings: NDArray[np.float32]
    ids: Sequence[str]


@dataclass(frozen=True)
class ValueClass:
    """Streamers that are alike in one field.

    Attributes:
        value: that they have; None for a range of numbers.
        gte: the least of the range; None for a value.
        lte: where the range ends; only the last range has streamers there. None for a value.
        count: how many they are.
    """

    value: Scalar | None
    gte: float | None
    lte: float | None
    count: int


class ValueClasses(NamedTuple):
    """One field of all streamers in classes.

    Attributes:
        classes: the largest first; of numbers the lowest first.
        codes: uint8 by slot (slots,): 1 + the place in `classes`, 0 for all others.
    """

    classes: Sequence[ValueClass]
    codes: NDArray[np.uint8]


@runtime_checkable
class Slotted(VectorIndex, Protocol):
    """An index with slots; all methods block for milliseconds or more, so call them in threads.

    A version of a streamer has a slot of its own as long as it is the newest. Slots are used again,
    so whoever keeps something by slot keeps the version beside it.
    """

    def live_slots(self) -> LiveSlots:
        """The slots of all streamers that have a vector, and what is in them."""
        ...

    def read_slots(self, slots: NDArray[np.uint32]) -> SlotBlock:
        """What is in some slots, without those that are not live any more."""
        ...

    def ids_in(self, slots: NDArray[np.uint32]) -> list[str]:
        """The ids in some slots; "" of those that are not live any more."""
        ...

    def slots_of(self, ids: Sequence[str]) -> list[int | None]:
        """Live slots of streamers; None of those without a vector."""
        ...

    def value_classes(self, field: str, most: int) -> ValueClasses:
        """Classes of one field: its most frequent values, or ranges of equally many numbers.

        Args:
            field: as in filters.
            most: classes, 255 at most.
        """
        ...
