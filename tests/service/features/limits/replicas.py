"""A clock that is set by hand, a store of limits in memory, and services on it."""

import asyncio
from collections.abc import Mapping

from service.errors import StoreUnavailable
from service.features.limits.limiter import SettledRateLimits
from service.http.auth.callers import Caller
from service.scopes import SCOPES, Scope
from service.settings import RateLimits

CALLER = Caller("0123456789ab", "a test", frozenset(SCOPES))


class Clock:
    def __init__(self, seconds: float = 1_000_000.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


class MemoryLimits:
    """A `LimitStore` with a clock of its own.

    Attributes:
        full_at: when each bucket is full again.
        asked: how many settlements there were.
        is_down: whether it answers nothing.
        loses_answers: whether it does what it is told, and does not answer.
        answered, failed: set by the first settlement that it could do, and could not.
    """

    def __init__(self, clock: Clock) -> None:
        self.full_at: dict[str, float] = {}
        self.asked = 0
        self.is_down = self.loses_answers = False
        self.answered, self.failed = asyncio.Event(), asyncio.Event()
        self._clock = clock

    async def settle(self, spent: Mapping[str, float]) -> list[float]:
        self.asked += 1
        (self.failed if self.is_down else self.answered).set()
        if self.is_down:
            raise StoreUnavailable("the store is gone")
        now, left = self._clock() + 12_345.0, list[float]()  # its clock is another one
        for name, seconds in spent.items():
            self.full_at[name] = max(now, self.full_at.get(name, 0.0)) + seconds
            left.append(self.full_at[name] - now)
        if self.loses_answers:
            raise StoreUnavailable("the connection was lost")
        return left


def service(store: MemoryLimits, clock: Clock, **settings: int) -> SettledRateLimits:
    """Limits of 100 units of `search` in 10 s, unless said otherwise."""
    return SettledRateLimits(
        store, RateLimits(**{"window_s": 10, "search": 100, **settings}), clock
    )


def take(limits: SettledRateLimits, units: int = 1, scope: Scope = "search", paid: int = 0) -> None:
    account = limits.account(CALLER, scope)
    assert account is not None
    account.take(units, paid)


def left(limits: SettledRateLimits, scope: Scope = "search") -> int:
    """Units that the service thinks are left, none where it is below 0."""
    account = limits.account(CALLER, scope)
    assert account is not None
    return account.state()[0]
