"""What is wrong with a store, and for how long it has been."""

import time
from collections.abc import Callable


class Trouble:
    """The present trouble of one store, from the moment it began."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        """Nothing is wrong yet."""
        self._now_s = now_s
        self._reason: str | None = None
        self._since_s = 0.0

    def note(self, reason: str | None) -> None:
        """It is in trouble, or no longer: None."""
        if self._reason is None:
            self._since_s = self._now_s()
        self._reason = reason

    def lasting(self, longer_than_s: float = 0.0) -> str | None:
        """What is wrong, for people, if it has been for longer; None otherwise."""
        if self._reason is None or self._now_s() - self._since_s < longer_than_s:
            return None
        return self._reason
