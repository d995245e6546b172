"""A few of the live questions asked again exactly: what a base finds on what people really ask.

The recall that a base has proved is that of stored rows. Questions by profiles or vectors may lie
elsewhere, and nothing else would tell.
"""

import threading
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.index.base import Question

_WINDOW = 200
_ENOUGH = 50
"""With fewer questions nothing is said: their share of misses is chance."""


@dataclass(frozen=True)
class _Compared:
    question: Question
    found: int
    wanted: int


class Canary:
    """The latest comparisons of one base after the other; safe to use from several threads.

    Attributes:
        is_curious: whether it takes a question; asking costs nothing.
    """

    def __init__(self, floor: float) -> None:
        """A base that finds less than `floor` of the nearest is not to be used."""
        self._floor = floor
        self._sample: Question | None = None
        self._compared: deque[_Compared] = deque(maxlen=_WINDOW)
        self._lock = threading.Lock()
        self.is_curious = True

    def offer(self, query: NDArray[np.float32], k: int, exclude: Collection[str]) -> None:
        """Keep a question that was just answered, until it is taken."""
        self.is_curious = False
        self._sample = Question(query.copy(), k, tuple(exclude))

    def take(self) -> Question | None:
        """The question that was kept, if any; the next one may be kept from now on."""
        question, self._sample = self._sample, None
        self.is_curious = True
        return question

    def note(
        self, question: Question, found: NDArray[np.float32], best: NDArray[np.float32]
    ) -> None:
        """Of a question, the scores that a base found and the best ones (K,), best first."""
        if len(best) == 0:
            return
        hits = min(int((found >= best[-1] - 1e-6).sum()), len(best))
        with self._lock:
            self._compared.append(_Compared(question, hits, len(best)))

    @property
    def recall(self) -> float | None:
        """The share of the nearest found; None while too few questions were compared."""
        with self._lock:
            if len(self._compared) < _ENOUGH:
                return None
            return sum(c.found for c in self._compared) / sum(c.wanted for c in self._compared)

    @property
    def alarm(self) -> str | None:
        """Why the base is not to be used any more; None while all is well."""
        recall = self.recall
        if recall is None or recall >= self._floor:
            return None
        asked = f"{len(self._compared)} questions lately asked"
        return f"it found {recall:.3f} of the nearest of {asked}, {self._floor:g} is the least"

    def questions(self) -> list[NDArray[np.float32]]:
        """The vectors (D,) of those that were compared, if they are enough to go by."""
        with self._lock:
            enough = len(self._compared) >= _ENOUGH
            return [c.question.query for c in self._compared] if enough else []

    def forget(self) -> None:
        """Begin anew, with another base."""
        with self._lock:
            self._compared.clear()
