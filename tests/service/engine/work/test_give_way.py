"""Long work on the event loop lets questions go first, but not for ever."""

import asyncio

from service.engine.work.give_way import GiveWay


def turns(give_way: GiveWay) -> int:
    """Turns of the event loop in which it gave way."""

    async def count() -> int:
        working = asyncio.create_task(give_way())
        found = 0
        while not working.done():
            found += 1
            await asyncio.sleep(0)
        return found

    return asyncio.run(count())


def test_nobody_asks_so_others_have_one_turn() -> None:
    asked: list[bool] = []

    def is_asked() -> bool:
        asked.append(True)
        return False

    give_way = GiveWay()
    give_way.is_asked = is_asked
    assert turns(give_way) <= 3
    assert asked == [True]


def test_it_goes_on_once_nobody_waits_any_more() -> None:
    waiting = [False, True]
    give_way = GiveWay()
    give_way.is_asked = waiting.pop
    turns(give_way)
    assert waiting == []


def test_it_goes_on_after_a_while_whoever_waits() -> None:
    asked: list[bool] = []

    def is_asked() -> bool:
        asked.append(True)
        return True

    give_way = GiveWay()
    give_way.is_asked = is_asked
    turns(give_way)
    assert 1 < len(asked) < 10


def test_a_busy_event_loop_makes_it_no_longer() -> None:
    passed_s = 0.0
    asked: list[bool] = []

    def is_asked() -> bool:
        nonlocal passed_s
        passed_s += 0.01
        asked.append(True)
        return True

    give_way = GiveWay(lambda: passed_s)
    give_way.is_asked = is_asked
    turns(give_way)
    assert len(asked) == 1


def test_slices_have_half_of_the_time_while_somebody_asks() -> None:
    passed_s = 0.0

    def is_asked() -> bool:
        nonlocal passed_s
        passed_s += 0.001
        return True

    async def run() -> None:
        nonlocal passed_s
        give_way = GiveWay(lambda: passed_s)
        give_way.is_asked = is_asked
        for _ in range(5):
            async with give_way.slice():
                passed_s += 0.004

    asyncio.run(run())
    assert 9 * 0.004 <= passed_s < 2 * 9 * 0.004


def test_slices_go_on_once_nobody_asks_any_more() -> None:
    passed_s = 0.0
    asked = [False, True, True, True, True]

    async def run() -> None:
        nonlocal passed_s
        give_way = GiveWay(lambda: passed_s)
        give_way.is_asked = asked.pop
        async with give_way.slice():
            passed_s += 0.01
        async with give_way.slice():  # the time does not go on: it waits for who asks
            pass

    asyncio.run(run())
    assert asked == []
