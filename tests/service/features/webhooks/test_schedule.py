"""The order in which deliveries are sent, and when they are tried again."""

import threading
from concurrent.futures import ThreadPoolExecutor

from service.features.webhooks import retries
from service.features.webhooks.records import Delivery
from service.features.webhooks.schedule import Item, Schedule
from service.features.webhooks.sending import Attempt
from tests.service.process import wait_until


def delivery_of(number: int, key: str) -> Item:
    named = Delivery(
        number=number,
        message="m",
        event_id="e",
        kind="k",
        key=key,
        body="",
        event_at=float(number),
    )
    return Item(named, 1, 0.0)


def test_a_schedule_keeps_order_by_key() -> None:
    schedule = Schedule()
    for number, key in enumerate("aabab"):
        schedule.add(delivery_of(number, key))
    first, other = schedule.take(0.0), schedule.take(0.0)
    assert first
    assert other
    assert [first.delivery.number, other.delivery.number] == [0, 2]
    assert schedule.take(9.0) is None
    schedule.done(other)
    third = schedule.take(0.0)
    assert third
    assert third.delivery.number == 4
    first.due = 5.0
    schedule.later(first)
    assert (schedule.take(4.9), schedule.next_at(), schedule.oldest_at) == (None, 5.0, 0.0)
    assert schedule.take(5.0) is first
    schedule.done(first)
    second = schedule.take(5.0)
    assert second
    assert second.delivery.number == 1
    assert len(schedule) == 3


def test_another_thread_may_ask_how_old_the_oldest_is() -> None:
    """`/metrics` does, while deliveries come and go."""
    schedule, seen, ended = Schedule(), list[float | None](), threading.Event()

    def ask() -> None:
        while not ended.is_set():
            seen.append(schedule.oldest_at)

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        try:
            wait_until(lambda: bool(seen), "it asks")
            for turn in range(4000):
                for place, key in enumerate("abcdefgh"):
                    schedule.add(delivery_of(8 * turn + place, key))
                while (item := schedule.take(1.0)) is not None:
                    schedule.done(item)
        finally:
            ended.set()
        asking.result()
    assert schedule.oldest_at is None


def test_the_table_is_that_of_the_standard() -> None:
    sums = 0.0
    for attempts in range(1, 10):
        delay = retries.delay_s(attempts)
        assert delay is not None
        assert retries.DELAYS_S[attempts] <= delay <= 1.1 * retries.DELAYS_S[attempts]
        sums += retries.DELAYS_S[attempts]
    assert sums == 75 * 3600 + 35 * 60 + 5
    assert retries.delay_s(10) is None
    assert retries.delay_s(1, 600.0) == 600.0
    assert retries.delay_s(1, 1e9) == 86_400
    assert not Attempt(204, None).wants_less
