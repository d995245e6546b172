"""Byte strings of a snapshot, to which its JSON refers by place."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class BlobWriter:
    """Collects byte strings.

    Attributes:
        data: all of them.
    """

    def __init__(self) -> None:
        self.data = bytearray()

    def add(self, blob: bytes) -> list[int]:
        """Append a byte string; its place, for JSON."""
        self.data += blob
        return [len(self.data) - len(blob), len(blob)]


class BlobReader:
    """Finds byte strings in what a `BlobWriter` collected."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    def get(self, place: Sequence[Any]) -> memoryview:
        """The byte string at a place.

        Raises:
            ValueError: there is none.
        """
        start, size = (int(number) for number in place)
        if start < 0 or size < 0 or start + size > len(self._data):
            raise ValueError(f"no bytes {start} to {start + size}, there are {len(self._data)}")
        return self._data[start : start + size]

    def slots(self, place: Sequence[Any], below: int) -> NDArray[np.uint32]:
        """Slots (S,) at a place, all below a number.

        Raises:
            ValueError: one is not.
        """
        found = np.frombuffer(self.get(place), "<u4")
        if len(found) and int(found.max()) >= below:
            raise ValueError(f"slot {int(found.max())} of {below}")
        return found
