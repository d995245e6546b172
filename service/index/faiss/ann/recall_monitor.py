"""Recall on live traffic: a few queries are answered again exactly, and both answers compared.

The recall that a segment has proved is that of stored rows. Queries by profiles or vectors may lie
elsewhere, and nothing else would tell.

The alarm is a sequential test, as it is looked at after each comparison and most queries find all
while a few find little: bets against each query that it finds less than the floor, (e + 1) times
1 + b (floor - found) where e is what the bets before have won (Shin, Ramdas and Rinaldo 2023,
"E-detectors"). A small bet finds a small loss soonest, a large one a large loss. Whatever the
spread over queries, a segment at the floor takes `_ALARM` comparisons or more on the mean until the
two have won as much on the mean.
"""

import threading
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.index.query import Query

_WINDOW = 200
_ENOUGH = 50
"""With fewer comparisons nothing is said: their share of misses is chance."""
_ALARM = 1e6
"""Won by bets, this is an alarm. At one comparison a second, eleven days at the floor."""
_SMALL_BET = 2.0
"""Finds 0.90 in place of 0.95 soonest at the spread of IVF's queries."""
_MOST_LOST = 0.5
"""Of what was won, by the large bet on a query that finds all."""


@dataclass(frozen=True)
class _Compared:
    vector: NDArray[np.float32]  # (D,)
    found: int
    wanted: int


class RecallMonitor:
    """Comparisons of the answers of one ANN segment. Safe from several threads.

    Attributes:
        wants_sample: whether `offer` would keep a query; reading it costs nothing.
    """

    def __init__(self, floor: float) -> None:
        """A segment that finds less than `floor` of the nearest is not to be used."""
        self._floor = floor
        self._sample: Query | None = None
        self._compared: deque[_Compared] = deque(maxlen=_WINDOW)
        large = _MOST_LOST / max(1 - floor, 1e-9)
        self._bets = np.array([min(_SMALL_BET, large), large])
        self._won = np.zeros(2)
        self._lock = threading.Lock()
        self.wants_sample = True

    def offer(self, query: Query) -> None:
        """Keep a query that was just answered, until it is taken."""
        self.wants_sample = False
        self._sample = query

    def take(self) -> Query | None:
        """The query that was kept, if any; another one may be kept from now on."""
        query, self._sample = self._sample, None
        self.wants_sample = True
        return query

    def note(
        self,
        vector: NDArray[np.float32],
        found: NDArray[np.float32],
        best: NDArray[np.float32],
    ) -> None:
        """Compare two answers to a vector (D,).

        Args:
            vector: what was asked with.
            found: the scores that the segment found (K,), best first.
            best: the exact ones (K,), best first.
        """
        if len(best) == 0:
            return
        hits = min(int((found >= best[-1] - 1e-6).sum()), len(best))
        with self._lock:
            self._compared.append(_Compared(vector, hits, len(best)))
            won = (self._won + 1) * (1 + self._bets * (self._floor - hits / len(best)))
            self._won = np.minimum(won, 2 * _ALARM)

    @property
    def recall(self) -> float | None:
        """Share of the nearest that were found; None while too few answers were compared."""
        with self._lock:
            if len(self._compared) < _ENOUGH:
                return None
            return sum(c.found for c in self._compared) / sum(c.wanted for c in self._compared)

    @property
    def alarm(self) -> str | None:
        """Why the segment is not to be used any more; None while it may well find enough."""
        recall = self.recall
        if recall is None or recall >= self._floor or self._won.mean() < _ALARM:
            return None
        return (
            f"it found {recall:.3f} of the nearest on the last {len(self._compared)} sampled "
            f"queries, below the floor of {self._floor:g}"
        )

    def vectors(self) -> list[NDArray[np.float32]]:
        """The vectors (D,) whose answers were compared; none while they are too few."""
        with self._lock:
            enough = len(self._compared) >= _ENOUGH
            return [c.vector for c in self._compared] if enough else []

    def forget(self) -> None:
        """Begin anew, with another segment."""
        with self._lock:
            self._compared.clear()
            self._won = np.zeros(2)
