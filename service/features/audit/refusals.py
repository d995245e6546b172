"""Bounds what refused requests write: beyond a rate they are counted, not listed."""

from collections import Counter
from typing import Any

from service.http.auth.audit import Entry

_KINDS = 100
"""Most counts of one summary; the rest is counted together."""
_BURST_S = 10.0


class Refusals:
    """A token bucket; what it refuses is counted by status and route.

    Attributes:
        counted: all that had no entry of its own.
        since: when the first was counted that is not in a summary yet.
    """

    def __init__(self, per_s: float, now: float) -> None:
        """Let pass so many a second, and ten times as many at once."""
        self._per_s = per_s
        self._room = per_s * _BURST_S
        self._at = now
        self._counts: Counter[tuple[int, str | None]] = Counter()
        self.since = now
        self.counted = 0

    @property
    def has_counted(self) -> bool:
        """Whether there is something to summarise."""
        return bool(self._counts)

    def admits(self, entry: Entry) -> bool:
        """Whether an entry is to be written by itself; else it is counted."""
        passed, self._at = entry.at - self._at, entry.at
        # A clock that is set back gives nothing.
        self._room = min(self._per_s * _BURST_S, self._room + max(0.0, passed) * self._per_s)
        if self._room >= 1:
            self._room -= 1
            return True
        if not self._counts:
            self.since = entry.at
        key = (entry.status, entry.route)
        if key not in self._counts and len(self._counts) >= _KINDS:
            key = (0, None)
        self._counts[key] += 1
        self.counted += 1
        return False

    def summary(self, now: float) -> dict[str, Any]:
        """What was counted since the last summary."""
        counts, self._counts = self._counts, Counter()
        found = [
            {"status": status, "route": route, "count": count}
            for (status, route), count in counts.most_common()
        ]
        return {"kind": "refused", "at": now, "since": self.since, "counts": found}
