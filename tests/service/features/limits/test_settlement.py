"""Services on one store count together, and each by itself while the store is gone."""

import asyncio
import contextlib

import pytest

from service.errors import RateLimited, StoreUnavailable
from service.http.auth.callers import Caller
from service.scopes import LIMITED_SCOPES
from service.settings import RateLimits
from tests.service.features.limits.replicas import (
    CALLER,
    Clock,
    MemoryLimits,
    left,
    service,
    take,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> MemoryLimits:
    return MemoryLimits(clock)


def taken_until_refused(limits: object) -> int:
    count = 0
    with contextlib.suppress(RateLimited):
        while count < 1000:
            take(limits)  # type: ignore[arg-type]
            count += 1
    return count


async def test_a_key_that_has_used_up_its_limit_waits(store: MemoryLimits, clock: Clock) -> None:
    limits = service(store, clock)
    assert taken_until_refused(limits) == 100
    with pytest.raises(
        RateLimited, match="used up 100 units of 'search' in 10 s; ask again in 1 s"
    ):
        take(limits)
    assert limits.refused == {"search": 2}
    clock.seconds += 0.1
    take(limits)
    with pytest.raises(RateLimited):
        take(limits)
    clock.seconds += 1000
    assert taken_until_refused(limits) == 100


async def test_a_costly_request_is_let_in_and_owed(store: MemoryLimits, clock: Clock) -> None:
    limits = service(store, clock)
    take(limits)
    take(limits, 499, paid=1)
    with pytest.raises(RateLimited) as caught:
        take(limits)
    assert caught.value.retry_after_s == 41  # 400 owed, and one to spend, at ten a second
    clock.seconds += 41
    take(limits)


async def test_who_waits_as_told_is_let_in_whatever_it_costs(
    store: MemoryLimits, clock: Clock
) -> None:
    limits = service(store, clock, search=1)
    for _ in range(5):
        take(limits)
        take(limits, 2, paid=1)  # the unit that let it in does not keep it out
        with pytest.raises(RateLimited) as caught:
            take(limits)
        clock.seconds += caught.value.retry_after_s


async def test_of_those_let_in_together_one_empties_the_bucket(
    store: MemoryLimits, clock: Clock
) -> None:
    limits = service(store, clock)
    take(limits)
    take(limits)
    take(limits, 500, paid=1)
    with pytest.raises(RateLimited):
        take(limits, 500, paid=1)


async def test_keys_and_scopes_count_by_themselves(store: MemoryLimits, clock: Clock) -> None:
    limits = service(store, clock, cases=100)
    assert taken_until_refused(limits) == 100
    take(limits, scope="cases")
    other = limits.account(Caller("ba9876543210", "other", frozenset()), "search")
    assert other is not None
    other.take(1, 0)
    await limits.settle()
    assert (left(limits), left(limits, "cases"), other.state()[0]) == (0, 99, 99)


async def test_limits_of_a_key(store: MemoryLimits, clock: Clock) -> None:
    own = Caller("a", "own limits", frozenset(), {"search": 3, "cases": 0})
    limits = service(store, clock)
    account = limits.account(own, "search")
    assert account is not None
    assert account.items()[0] == b'"search";q=3;w=10'
    account.take(3, 0)
    with pytest.raises(RateLimited):
        account.take(1, 0)
    assert limits.account(own, "cases") is None
    assert limits.account(own, "explain") is not None


async def test_a_limit_that_is_changed_holds_at_once(store: MemoryLimits, clock: Clock) -> None:
    """What is used up is the same share of it, and what is not settled yet stays owed."""
    limits = service(store, clock)
    ten, hundred, none = (
        Caller("a", "changed", frozenset(), {"search": units}) for units in (10, 100, 0)
    )
    before = limits.account(ten, "search")
    assert before is not None
    before.take(5, 0)
    account = limits.account(hundred, "search")
    assert account is not None
    assert account.items()[0] == b'"search";q=100;w=10'
    assert account.state()[0] == 50
    account.take(50, 0)
    with pytest.raises(RateLimited, match="100 units"):
        account.take(1, 0)
    assert limits.account(none, "search") is None
    await limits.settle()
    assert [round(seconds) for seconds in await store.settle({"search:a": 0})] == [10]
    again = limits.account(ten, "search")
    assert again is not None
    assert again.state()[0] == 0


def test_what_has_no_limit(store: MemoryLimits, clock: Clock) -> None:
    limits = service(store, clock, duplicates=0)
    assert limits.account(CALLER, "duplicates") is None
    assert limits.account(CALLER, "admin") is None


def test_every_scope_but_admin_has_a_setting() -> None:
    assert set(RateLimits.model_fields) == {
        "window_s",
        *(scope.replace(":", "_") for scope in LIMITED_SCOPES),
    }
    assert all(RateLimits().of(scope) >= 10_000 for scope in LIMITED_SCOPES)  # nobody's by hand


async def test_two_services_count_together(store: MemoryLimits, clock: Clock) -> None:
    one, other = service(store, clock), service(store, clock)
    take(one, 30)
    await one.settle()
    take(other, 20)
    await other.settle()
    assert (left(one), left(other)) == (70, 50)
    await one.settle()
    assert left(one) == 50
    clock.seconds += 2.0
    await one.settle()
    await other.settle()
    assert (left(one), left(other)) == (70, 70)


async def test_what_is_taken_during_a_settlement_counts(store: MemoryLimits, clock: Clock) -> None:
    limits, other = service(store, clock), service(store, clock)
    take(other, 10)
    await other.settle()
    take(limits, 5)
    settle = store.settle

    async def taken_meanwhile(spent: dict[str, float]) -> list[float]:
        answer = await settle(spent)
        take(limits, 7)
        return answer

    store.settle = taken_meanwhile  # type: ignore[method-assign]
    await limits.settle()
    assert left(limits) == 100 - 10 - 5 - 7
    store.settle = settle  # type: ignore[method-assign]
    await limits.settle()
    assert left(limits) == 100 - 10 - 5 - 7
    await other.settle()
    assert left(other) == 100 - 10 - 5 - 7


async def test_the_overshoot_is_what_the_others_took_unseen_and_is_owed(
    store: MemoryLimits, clock: Clock
) -> None:
    """Three services that are asked all at once, before they know of each other."""
    services = [service(store, clock) for _ in range(3)]
    assert sum(map(taken_until_refused, services)) == 300  # 100, and (3 - 1) times what one takes
    for limits in services:
        await limits.settle()
    for limits in services:
        await limits.settle()
        with pytest.raises(RateLimited) as caught:
            take(limits)
        assert caught.value.retry_after_s == 21  # 200 owed, and one to spend
    # Asked steadily, they let in no more than one service would, since it is settled meanwhile.
    clock.seconds += 20.0
    let_in = 0
    for _ in range(500):
        clock.seconds += 0.1
        for limits in services:
            with contextlib.suppress(RateLimited):
                take(limits)
                let_in += 1
            await limits.settle()
    assert 490 <= let_in <= 510


async def test_slow_use_of_two_services_adds_up(store: MemoryLimits, clock: Clock) -> None:
    """Each is below the limit, and finds its bucket full at every settlement; both are above."""
    one, other = service(store, clock), service(store, clock)
    let_in = 0
    for _ in range(200):
        for limits in (one, other):
            for _ in range(8):
                with contextlib.suppress(RateLimited):
                    take(limits)
                    let_in += 1
        clock.seconds += 1.0
        await one.settle()
        await other.settle()
    assert let_in < 100 + 10 * 200 + 20  # of 3,200 that asked


async def test_without_the_store_each_counts_alone(store: MemoryLimits, clock: Clock) -> None:
    one, other = service(store, clock), service(store, clock)
    store.is_down = True
    for limits in (one, other):
        assert taken_until_refused(limits) == 100
        with pytest.raises(StoreUnavailable):
            await limits.settle()
        with pytest.raises(RateLimited):
            take(limits)
    store.is_down = False
    for limits in (one, other, one):
        await limits.settle()
    with pytest.raises(RateLimited) as caught:
        take(one)
    assert caught.value.retry_after_s == 11  # both were owed, and are now known


async def test_what_was_paid_back_during_an_outage_is_not_owed(
    store: MemoryLimits, clock: Clock
) -> None:
    limits = service(store, clock)
    store.is_down = True
    for _ in range(1000):  # nine a second, of ten
        take(limits, 9)
        clock.seconds += 1.0
        with pytest.raises(StoreUnavailable):
            await limits.settle()
    take(limits, 9)
    store.is_down = False
    await limits.settle()
    assert left(limits) == 91


async def test_an_answer_that_is_lost_counts_twice_rather_than_not_at_all(
    store: MemoryLimits, clock: Clock
) -> None:
    limits = service(store, clock)
    take(limits, 20)
    store.loses_answers = True
    with pytest.raises(StoreUnavailable):
        await limits.settle()
    assert left(limits) == 80
    store.loses_answers = False
    await limits.settle()
    assert left(limits) == 60


async def test_buckets_that_are_full_again_are_forgotten(store: MemoryLimits, clock: Clock) -> None:
    limits = service(store, clock)
    take(limits, 50)
    await limits.settle()
    asked = store.asked
    clock.seconds += 6.0
    await limits.settle()
    await limits.settle()
    assert store.asked == asked + 1  # then there was nothing to settle
    store.is_down = True
    take(limits, 50)
    clock.seconds += 6.0
    with pytest.raises(StoreUnavailable):
        await limits.settle()
    await limits.settle()  # nor here


async def test_it_settles_in_the_background_and_at_the_end(
    store: MemoryLimits, clock: Clock
) -> None:
    limits, other = service(store, clock), service(store, clock)
    store.is_down = True  # at first, which does not end it
    async with limits:
        take(limits, 10)
        async with asyncio.timeout(30):
            await store.failed.wait()
            store.is_down = False
            await store.answered.wait()
        take(limits, 10)
    take(other)
    await other.settle()
    assert left(other) == 79
