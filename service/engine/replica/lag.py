"""Upper bound of an index's lag behind the store."""

import threading
from collections import deque

from service.store.base import Position

_KEPT = 10_000
"""Observations kept; the oldest are dropped first, which makes the lag too large."""


class Lag:
    """Bounds the time since an index held everything that was written.

    Now and then somebody looks where the log ends. Once the index has applied that much, it holds
    all that was written before the look. So the lag is an upper bound, it also grows while nobody
    can look, and no clock but this process's own counts. Of a silent store it may be asked how
    large the lag was when the silence began.

    Safe to use from several threads.

    Attributes:
        head: the last sequence number of the log that is known; None before a look.
    """

    def __init__(self, complete_until_s: float | None = None) -> None:
        """Nothing is known yet, but that everything is to be held to have been there until then."""
        self._looks: deque[tuple[float, Position]] = deque(maxlen=_KEPT)  # not reached yet
        self._complete_until = complete_until_s
        self._lock = threading.Lock()
        self.head: int | None = None
        self._looked: Position | None = None
        self._unanswered_since: float | None = None

    def asks(self, at_s: float) -> None:
        """Note that a look begins: the store is silent from the first one without an answer on."""
        with self._lock:
            if self._unanswered_since is None:
                self._unanswered_since = at_s

    def saw(self, at_s: float, head: Position) -> None:
        """Note that the log ended at `head` in an observation that began at `at_s`."""
        with self._lock:
            if self._looks and not _continues(self._looks[-1][1], head):
                self._looks.clear()  # nobody will ever reach what another history had
            self._looks.append((at_s, head))
            goes_on = self._looked is not None and _continues(self._looked, head)
            # A write may be known by now that the look came too early for.
            self.head = max(self.head or 0, head.sequence) if goes_on else head.sequence
            self._looked = head
            if self._unanswered_since is not None and self._unanswered_since <= at_s:
                self._unanswered_since = None

    def wrote(self, sequence: int) -> None:
        """Note that the log has a write; a look that began before may find less."""
        with self._lock:
            if self.head is not None:
                self.head = max(self.head, sequence)

    def lag_s(self, position: Position, now_s: float, grace_s: float = 0.0) -> float | None:
        """Seconds since an index at `position` surely held everything; None where it never did.

        Args:
            position: up to where the index has everything.
            now_s: the present time.
            grace_s: a silence of the store that is shorter adds nothing.
        """
        with self._lock:
            since = self._unanswered_since
            if since is not None and now_s - since < grace_s:
                now_s = since
            while self._looks and _continues(self._looks[0][1], position):
                self._complete_until = self._looks.popleft()[0]
            until = self._complete_until
        return None if until is None else max(now_s - until, 0.0)


def _continues(earlier: Position, later: Position) -> bool:
    return earlier.epoch == later.epoch and earlier.sequence <= later.sequence
