"""The lag of work on the log is known to who does not do it, and while nobody does."""

import pytest

from service.engine.replica import trailing as module
from service.engine.replica.trailing import TrailingLag
from service.errors import StoreUnavailable
from service.store.base import Position
from tests.service.store.records import until

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Clock:
    """A clock that is set by hand, a log, and how far somebody has worked on it."""

    def __init__(self) -> None:
        self.now_s, self.looks = 0.0, 0
        self.end: int | None = 5
        self.reached: int | None = 5

    def monotonic(self) -> float:
        return self.now_s

    async def log_end(self) -> Position:
        self.looks += 1
        if self.end is None:
            raise StoreUnavailable("gone")
        return Position("e", self.end)

    async def worked(self) -> Position | None:
        return None if self.reached is None else Position("e", self.reached)

    async def looked(self) -> None:
        """Whatever was changed before is known."""
        looks = self.looks
        await until(lambda: self.looks > looks + 1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module, "_LOOK_S", 0.0)
    return clock


async def test_it_grows_from_the_first_write_that_nobody_worked_on(clock: Clock) -> None:
    lag = TrailingLag(clock.log_end, clock.worked)
    assert lag.lag_s is None
    lag.start()
    await clock.looked()
    clock.now_s = 5000.0  # nothing is written for long
    await clock.looked()
    assert lag.lag_s == 0.0
    clock.end = 6  # a single write
    await clock.looked()
    clock.now_s = 6000.0
    await clock.looked()
    assert lag.lag_s == 1000.0
    clock.reached = None  # it begins anew
    await clock.looked()
    assert lag.lag_s == 1000.0
    clock.reached = 6
    await clock.looked()
    assert lag.lag_s == 0.0
    clock.end = None  # nobody knows what another process wrote
    clock.now_s = 6100.0
    await clock.looked()
    assert lag.lag_s == 100.0
    await lag.stop()
    assert lag.lag_s is None


async def test_who_begins_beside_work_that_stands_still_counts_from_then(clock: Clock) -> None:
    clock.reached, clock.now_s = 4, 70.0
    lag = TrailingLag(clock.log_end, clock.worked)
    lag.start()
    await clock.looked()
    clock.now_s = 1000.0
    await clock.looked()
    assert lag.lag_s == 930.0
    await lag.stop()
