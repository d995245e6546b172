"""Parts of a snapshot: what JSON holds, and beside it bytes that it refers to."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Packer:
    """Collects bytes.

    Attributes:
        data: all of them.
    """

    def __init__(self) -> None:
        self.data = bytearray()

    def add(self, part: bytes) -> list[int]:
        """Where the part is found again, for JSON."""
        self.data += part
        return [len(self.data) - len(part), len(part)]


class Unpacker:
    """Finds parts again in what a `Packer` collected."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    def get(self, place: Sequence[Any]) -> memoryview:
        """A part.

        Raises:
            ValueError: there is none.
        """
        start, size = (int(number) for number in place)
        if start < 0 or size < 0 or start + size > len(self._data):
            raise ValueError(f"no bytes {start} to {start + size}, there are {len(self._data)}")
        return self._data[start : start + size]

    def slots(self, place: Sequence[Any], below: int) -> NDArray[np.uint32]:
        """Slots (S,) that all are below a number.

        Raises:
            ValueError: they are not.
        """
        found = np.frombuffer(self.get(place), "<u4")
        if len(found) and int(found.max()) >= below:
            raise ValueError(f"slot {int(found.max())} of {below}")
        return found
