"""What is wrong with a store, and for how long it has been."""

import time
from collections.abc import Callable
from typing import Protocol


class StoreHealth(Protocol):
    """What is known of a store's health by whoever looks after it."""

    def trouble(self) -> str | None:
        """What is wrong at the moment, for people; None while it answers and takes writes."""
        ...

    @property
    def acknowledged_by(self) -> int | None:
        """How many replicas acknowledged the last write that was tried; None if none has to."""
        ...

    @property
    def restarts(self) -> int | None:
        """How often this process started it again; None if that is not for this process."""
        ...

    @property
    def is_durable(self) -> bool | None:
        """Whether it keeps all that it acknowledges; None if it does not say."""
        ...

    def silence(self, longer_than_s: float = ...) -> str | None:
        """Why it has answered nothing for longer, for people; None while it answers."""
        ...


class Trouble:
    """The present trouble of one store, from the moment it began."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        """Nothing is wrong yet."""
        self._now_s = now_s
        self._reason: str | None = None
        self._since_s = 0.0

    def note(self, reason: str | None, since_s: float | None = None) -> None:
        """It is in trouble, or no longer: None.

        Args:
            reason: what is wrong.
            since_s: when it began, by the clock of this object; by default now.
        """
        if self._reason is None:
            self._since_s = self._now_s() if since_s is None else since_s
        self._reason = reason

    def lasting(self, longer_than_s: float = 0.0) -> str | None:
        """What is wrong, for people, if it has been for longer; None otherwise."""
        if self._reason is None or self._now_s() - self._since_s < longer_than_s:
            return None
        return self._reason
