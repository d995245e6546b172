"""Token buckets of API keys and scopes.

A bucket is kept as the time at which it is full again, the "theoretical arrival time" of the
generic cell rate algorithm (ITU-T I.371, annex A): one number, and no clock that refills it. Each
unit that is taken moves that time by the seconds in which the limit allows one unit. Therefore what
several services take of one bucket adds up in any order.
"""

import math
from dataclasses import dataclass
from functools import cached_property

from service.scopes import Scope

_ROUNDING = 1e-3
"""Units by which sums of floats may be off."""


@dataclass(frozen=True)
class Policy:
    """A limit.

    Attributes:
        scope: whose requests count.
        units: that may be spent at once, and in each window.
        window_s: seconds in which an empty bucket is full again.
    """

    scope: Scope
    units: int
    window_s: int

    @cached_property
    def unit_s(self) -> float:
        """Seconds in which there is one unit more."""
        return self.window_s / self.units

    @cached_property
    def name(self) -> bytes:
        """The scope as it is written in header fields."""
        return b'"%b"' % self.scope.encode()

    @cached_property
    def text(self) -> bytes:
        """An item of `RateLimit-Policy`."""
        return b"%b;q=%d;w=%d" % (self.name, self.units, self.window_s)


class Bucket:
    """What a key has left of a limit.

    Attributes:
        limit: that it is filled by.
        full_at: when it is full again, by a clock of the caller's, in seconds.
        unsettled_s: what was taken and is not yet in the store, in seconds.
    """

    __slots__ = ("full_at", "limit", "unsettled_s")

    def __init__(self, limit: Policy) -> None:
        """A full bucket."""
        self.limit = limit
        self.full_at = -math.inf
        self.unsettled_s = 0.0

    def owed_s(self, now: float) -> float:
        """Seconds until it is full."""
        return max(0.0, self.full_at - now)

    def left_and_wait(self, now: float) -> tuple[float, float]:
        """Units that are left, below 0 if more were taken, and seconds until one more is there."""
        limit, owed_s = self.limit, max(0.0, self.full_at - now)
        unit_s = limit.unit_s
        left = limit.units - owed_s / unit_s + _ROUNDING
        return left, max(unit_s, owed_s - limit.window_s + unit_s)

    def take_units(self, units: int, now: float) -> None:
        """Take units, whether there are so many or not."""
        taken_s = units * self.limit.unit_s
        self.full_at = max(now, self.full_at) + taken_s
        self.unsettled_s += taken_s
