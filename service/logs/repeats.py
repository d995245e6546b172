"""Reasons that come again and again, as those of an outage do once a second: one line is enough."""

import time
from collections.abc import Callable

_OVER_S = 60.0
"""What has not come for so long was over, and is news when it comes again."""
_AGAIN_S = 600.0
"""What lasts is said again after so long, or an alert that goes by the log would end before it."""


class Repeats:
    """Tells which reasons are worth a line of the log."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        """Nothing was said yet."""
        self._now_s = now_s
        self._last: dict[str, tuple[str, float, float]] = {}

    def is_new(self, what: str, reason: object) -> bool:
        """Whether something has another reason than the last time, was over since, or lasts.

        Args:
            what: goes wrong; each has a last reason of its own.
            reason: a text, or an exception.
        """
        said, now = repr(reason), self._now_s()
        if what not in self._last:  # what was over is news, known or not
            self._last = {k: last for k, last in self._last.items() if now - last[1] <= _OVER_S}
        before, at, told_at = self._last.get(what, ("", now, now))
        is_new = said != before or now - at > _OVER_S or now - told_at >= _AGAIN_S
        self._last[what] = said, now, now if is_new else told_at
        return is_new
