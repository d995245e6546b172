"""Counts of what a lane of work has done."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass
class LaneCounts:
    """Counts since the start.

    Attributes:
        taken: items that a thread has begun.
        refused: items that were refused, or not done by their deadline.
        waited_s: seconds that the items which were begun had waited, all together.
    """

    taken: int = 0
    refused: int = 0
    waited_s: float = 0.0

    def take(self, since: Iterable[float], now: float) -> None:
        """Count items that a thread begins, by when each began to wait."""
        for moment in since:
            self.taken += 1
            self.waited_s += now - moment
