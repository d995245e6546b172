"""Samples that are the same whenever they are drawn from the same things."""

import hashlib
import heapq
from typing import Generic, TypeVar

Item = TypeVar("Item")


class HashSample(Generic[Item]):
    """Those of many things whose names have the lowest hashes.

    Attributes:
        seen: how many there are.
    """

    def __init__(self, most: int) -> None:
        """Keep `most` of them."""
        self.seen = 0
        self._most = most
        self._heap: list[tuple[int, str, Item]] = []

    def add(self, name: str, item: Item) -> None:
        """One more; each name comes once."""
        self.seen += 1
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        entry = -int.from_bytes(digest, "big"), name, item
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, entry)
        elif entry[0] > self._heap[0][0]:
            heapq.heapreplace(self._heap, entry)

    def items(self) -> list[Item]:
        """Those that are kept, in order of their names."""
        return [item for _, _, item in sorted(self._heap, key=lambda entry: entry[1])]
