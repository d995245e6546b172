"""Applies one function to many items, several at once, and draws items as there is room."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


async def async_results(
    work: Callable[[Item], Awaitable[Result]], items: Iterable[Item], at_once: int
) -> AsyncGenerator[Result, None]:
    """Results of `work` on each item, as they are ready; tasks of the event loop do it.

    The first error ends it, and cancels what is under way.
    """
    running: set[asyncio.Task[Result]] = set()

    async def start(item: Item) -> Result:
        return await work(item)

    try:
        for item in items:
            running.add(asyncio.create_task(start(item)))
            if len(running) >= at_once:
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in [task for task in running if task.done()]:
                    running.remove(task)
                    yield task.result()
        while running:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in running if task.done()]:
                running.remove(task)
                yield task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def results(
    work: Callable[[Item], Result], items: Iterable[Item], at_once: int
) -> Generator[Result, None, None]:
    """Results of `work` on each item, as they are ready; threads do it.

    The first error ends it, after what is under way.
    """
    running: set[Future[Result]] = set()
    with ThreadPoolExecutor(at_once, "client") as pool:
        for item in items:
            running.add(pool.submit(work, item))
            if len(running) >= at_once:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from [future.result() for future in done]
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from [future.result() for future in done]
