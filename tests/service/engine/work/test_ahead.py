"""Calls that are under way together give their results in order."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from service.engine.work.ahead import ahead

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def numbers(count: int) -> AsyncGenerator[int, None]:
    for number in range(count):
        yield number


@pytest.mark.parametrize("at_once", [1, 2, 3, 20])
async def test_results_come_in_order_and_no_more_calls_are_under_way(at_once: int) -> None:
    running = most = 0
    turns = [asyncio.Event() for _ in range(10)]

    async def do(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if number + 1 < 10 and (number + 1) % at_once:
            await turns[number + 1].wait()  # the later one of a group is done first
        turns[number].set()
        running -= 1
        return number * number

    found = [pair async for pair in ahead(numbers(10), do, at_once)]
    assert found == [(number, number * number) for number in range(10)]
    assert most <= at_once


async def test_an_error_comes_in_its_turn_and_ends_the_others() -> None:
    begun = asyncio.Event()
    running: set[int] = set()

    async def do(number: int) -> int:
        running.add(number)
        try:
            if number == 2:
                await begun.wait()
                raise ValueError("no")
            if number > 2:
                begun.set()
                await asyncio.Event().wait()
            return number
        finally:
            running.remove(number)

    found: list[int] = []

    async def read() -> None:
        async for number, _ in ahead(numbers(9), do, 3):
            found.append(number)

    with pytest.raises(ValueError, match="no"):
        await read()
    assert found == [0, 1]
    assert not running
