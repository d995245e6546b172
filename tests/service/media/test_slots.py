import asyncio
import gc

import pytest

from service.errors import Overloaded
from service.media.slots import Slots
from tests.service.media.server import run


def soon() -> float:
    return asyncio.get_running_loop().time() + 0.05


def later() -> float:
    return asyncio.get_running_loop().time() + 60


def test_who_waits_in_vain_is_told() -> None:
    async def scenario() -> None:
        slots = Slots(2, 1)
        async with slots.take("a", later()):
            with pytest.raises(Overloaded):  # the host's own
                async with slots.take("a", soon()):
                    pytest.fail("two at once")
            async with slots.take("b", soon()):
                with pytest.raises(Overloaded):  # all
                    async with slots.take("c", soon()):
                        pytest.fail("three at once")
            async with slots.take("c", soon()):
                pass

    run(scenario())


def test_who_waits_for_a_host_holds_nothing_that_others_need() -> None:
    async def scenario() -> None:
        slots = Slots(2, 1)

        async def wait() -> None:
            async with slots.take("a", later()):
                pass

        async with slots.take("a", later()):
            waiting = [asyncio.create_task(wait()) for _ in range(5)]
            await asyncio.sleep(0.01)
            async with slots.take("b", soon()):
                pass
            assert not any(task.done() for task in waiting)
        await asyncio.gather(*waiting)

    run(scenario())


def test_errors_and_cancellation_give_slots_back() -> None:
    async def scenario() -> None:
        slots = Slots(1, 1)

        async def hold() -> None:
            async with slots.take("a", later()):
                await asyncio.sleep(60)

        async def give_up() -> None:
            tasks = [asyncio.create_task(hold()) for _ in range(2)]  # one waits
            await asyncio.sleep(0.01)
            for task in reversed(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        for _ in range(3):
            with pytest.raises(ValueError, match="mine"):
                async with slots.take("a", soon()):
                    raise ValueError("mine")
            await give_up()
        async with slots.take("a", soon()):
            pass
        await asyncio.sleep(0.01)  # the loop lets go of what has ended
        gc.collect()
        assert not slots._hosts  # a host that nobody uses is forgotten

    run(scenario())
