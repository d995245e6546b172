"""Counting what is frequent among more different things than memory holds."""

from collections import Counter
from collections.abc import Iterable

import numpy as np

CAPACITY = 2_000_000
"""Different things that are counted at once, about 300 MB of them."""


class FrequencyCounter:
    """Counts of the frequent ones (lossy counting, Manku & Motwani 2002).

    While no more than `capacity` different things were seen, all counts are exact. Beyond that the
    rarer half is forgotten, as often as needed: a thing that is then seen again starts anew, so its
    count falls short by at most `missed`, the sum of the largest counts that were forgotten.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.counts: Counter[str] = Counter()
        self.missed = 0
        self._capacity = capacity

    def update(self, things: Iterable[str]) -> None:
        """Count each once more."""
        self.counts.update(things)
        if len(self.counts) > self._capacity:
            self._forget()

    def _forget(self) -> None:
        counts = np.fromiter(self.counts.values(), np.int64, len(self.counts))
        largest = int(np.partition(counts, len(counts) // 2)[len(counts) // 2])
        self.missed += largest
        self.counts = Counter({thing: n for thing, n in self.counts.items() if n > largest})
