"""The lag is never smaller than it is, whatever the log and the index do."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.engine.replica.lag import Lag
from service.store.base import Position


def at(sequence: int, epoch: str = "e") -> Position:
    return Position(epoch, sequence)


def test_before_anything_is_known() -> None:
    lag = Lag()
    assert (lag.head, lag.lag_s(at(5), 1.0)) == (None, None)
    lag.saw(2.0, at(10))
    assert (lag.head, lag.lag_s(at(9), 3.0)) == (10, None)


def test_an_index_holds_what_was_there_before_the_look() -> None:
    lag = Lag()
    for second, end in enumerate([10, 10, 20, 90], 1):
        lag.saw(float(second), at(end))
    assert lag.lag_s(at(10), 5.0) == 3.0
    assert lag.lag_s(at(19), 5.0) == 3.0
    assert lag.lag_s(at(20), 5.0) == 2.0
    assert lag.lag_s(at(91), 5.0) == 1.0
    assert lag.lag_s(at(91), 100.0) == 96.0  # nobody looked since: there may be more


def test_a_silent_store_adds_nothing_for_a_while() -> None:
    lag = Lag()
    lag.asks(1.0)
    lag.saw(1.0, at(10))
    assert lag.lag_s(at(10), 3.0, 300.0) == 2.0  # nobody has asked since
    for second in (4.0, 5.0, 60.0):
        lag.asks(second)
    assert lag.lag_s(at(10), 303.0, 300.0) == 3.0
    assert lag.lag_s(at(10), 304.0, 300.0) == 303.0
    assert lag.lag_s(at(10), 60.0) == 59.0
    lag.saw(60.0, at(12))  # it answers, and has more
    assert lag.lag_s(at(10), 61.0, 300.0) == 60.0
    lag.asks(62.0)
    assert lag.lag_s(at(10), 100.0, 300.0) == 61.0  # it was behind already
    assert lag.lag_s(at(12), 100.0, 300.0) == 2.0


def test_an_early_question_that_is_answered_late_leaves_the_later_one_open() -> None:
    lag = Lag()
    lag.asks(1.0)
    lag.asks(2.0)
    lag.saw(2.0, at(10))
    lag.asks(3.0)
    lag.saw(1.0, at(10))
    assert lag.lag_s(at(10), 9.0, 300.0) == 2.0


def test_the_head_is_the_last_write_that_is_known() -> None:
    lag = Lag()
    lag.wrote(7)
    assert lag.head is None  # nobody has looked: there may be more
    lag.saw(1.0, at(10))
    lag.wrote(12)
    lag.saw(2.0, at(11))  # it began before that write
    assert lag.head == 12
    lag.wrote(9)
    assert lag.head == 12
    lag.saw(3.0, at(13))
    assert lag.head == 13
    lag.saw(4.0, at(5))  # the log went back
    assert lag.head == 5
    lag.saw(5.0, at(2, "other"))
    assert lag.head == 2


def test_another_history_is_not_the_one_that_was_applied() -> None:
    lag = Lag()
    lag.saw(1.0, at(10))
    assert lag.lag_s(at(10), 1.5) == 0.5
    lag.saw(2.0, at(5, "other"))
    assert lag.lag_s(at(10), 3.0) == 2.0
    lag.saw(4.0, at(6, "other"))
    assert lag.lag_s(Position("", 0), 5.0) == 4.0  # the old index is being replaced
    assert lag.lag_s(at(6, "other"), 5.0) == 1.0


def test_a_log_that_went_back_is_not_waited_for() -> None:
    lag = Lag()
    lag.saw(1.0, at(100))
    lag.saw(2.0, at(40))
    assert lag.lag_s(at(40), 3.0) == 1.0


def test_what_nobody_reaches_is_forgotten_in_the_end() -> None:
    lag = Lag()
    for second in range(30_000):
        lag.saw(float(second), at(second))
    assert lag.lag_s(at(19_999), 30_000.0) is None
    assert lag.lag_s(at(20_000), 30_000.0) == 10_000.0


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty_threads")
def test_several_threads_may_ask_at_once() -> None:
    """The event loop asks, and so does the thread that answers `/metrics`."""
    for _ in range(20):
        lag = Lag()
        for second in range(2000):
            lag.saw(float(second), at(second))
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(lag.lag_s, at(2000), 3000.0) for _ in range(4)]
        assert [one.result() for one in asked] == [1001.0] * 4
