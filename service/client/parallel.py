"""Applies one function to many items, several at once, and draws items as there is room."""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from service.client.errors import ClientError

Item = TypeVar("Item")
Result = TypeVar("Result")
_Done = TypeVar("_Done", bound=Future[Any] | asyncio.Task[Any])
_work = threading.local()
async_sleep = asyncio.sleep


def sleep(seconds: float) -> None:
    """Wait, in a thread of `results` no longer than somebody wants those.

    Raises:
        ClientError: nobody wants them any more.
    """
    is_over: threading.Event | None = getattr(_work, "is_over", None)
    if is_over is None:
        time.sleep(seconds)
    elif is_over.wait(seconds):
        raise ClientError("the results are not wanted any more")


def _failed_last(done: Iterable[_Done]) -> list[_Done]:
    return sorted(done, key=lambda one: one.cancelled() or one.exception() is not None)


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
                for task in _failed_last([task for task in running if task.done()]):
                    running.remove(task)
                    yield task.result()
        while running:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in _failed_last([task for task in running if task.done()]):
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

    The first error ends it, as do Ctrl-C and whoever asks for no more: then a request that is under
    way is waited for, and made no second time.
    """
    running: set[Future[Result]] = set()
    is_over = threading.Event()

    def begin() -> None:
        _work.is_over = is_over

    with ThreadPoolExecutor(at_once, "client", begin) as pool:
        try:
            for item in items:
                running.add(pool.submit(work, item))
                if len(running) >= at_once:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in _failed_last(done))
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in _failed_last(done))
        finally:
            is_over.set()
