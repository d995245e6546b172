"""Few turns at a time; others wait in order, or are refused."""

import asyncio

import pytest

from service.engine.work.turns import Turns
from service.errors import Overloaded


def test_few_at_a_time_and_few_wait() -> None:
    async def scenario() -> None:
        turns = Turns("answers", at_once=2, max_queue=1, deadline_s=60)
        end, order = asyncio.Event(), list[int]()

        async def answer(i: int) -> None:
            async with turns.turn():
                order.append(i)
                await end.wait()

        tasks = [asyncio.create_task(answer(i)) for i in range(4)]
        refused = await asyncio.gather(tasks[3], return_exceptions=True)
        assert isinstance(refused[0], Overloaded)
        assert refused[0].detail == "1 answers are waiting already"
        assert order == [0, 1]
        end.set()
        await asyncio.gather(*tasks[:3])
        assert order == [0, 1, 2]

    asyncio.run(scenario())


def test_who_leaves_or_waits_too_long_takes_no_turn() -> None:
    async def scenario() -> None:
        turns = Turns("answers", at_once=1, max_queue=4, deadline_s=0.1)
        async with turns.turn():
            with pytest.raises(Overloaded, match=r"answers: none had its turn within 0\.1 s"):
                async with turns.turn():
                    raise AssertionError
            left = asyncio.create_task(turns.turn().__aenter__())
            await asyncio.sleep(0)
            left.cancel()
            await asyncio.gather(left, return_exceptions=True)
        async with turns.turn():
            pass

    asyncio.run(scenario())


def test_who_would_come_too_late_is_told_when_to_come_again() -> None:
    async def scenario() -> None:
        turns = Turns("answers", at_once=1, max_queue=4, deadline_s=2)
        turns._length_s = 2.5
        async with turns.turn():
            with pytest.raises(Overloaded) as refused:
                async with turns.turn():
                    raise AssertionError
        assert refused.value.retry_after_s == 3

    asyncio.run(scenario())
