"""Lossy counting: frequent items of a stream in bounded memory (Manku & Motwani 2002)."""

from collections import Counter
from collections.abc import Iterable

import numpy as np

CAPACITY = 2_000_000
"""Most distinct items counted at once, about 300 MB."""


class FrequencyCounter:
    """Approximate counts of frequent items.

    Counts are exact while at most `capacity` distinct items were seen. Beyond that the rarer half
    is dropped repeatedly; an item that reappears restarts at zero, so its count is too low by at
    most `missed`, the sum of the largest dropped counts.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.counts: Counter[str] = Counter()
        self.missed = 0
        self._capacity = capacity

    def update(self, things: Iterable[str]) -> None:
        """Count each item once."""
        self.counts.update(things)
        if len(self.counts) > self._capacity:
            self._forget()

    def _forget(self) -> None:
        counts = np.fromiter(self.counts.values(), np.int64, len(self.counts))
        largest = int(np.partition(counts, len(counts) // 2)[len(counts) // 2])
        self.missed += largest
        self.counts = Counter({thing: n for thing, n in self.counts.items() if n > largest})
