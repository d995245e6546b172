"""Calls that are under way together, with results in order."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


async def ahead(
    items: AsyncIterable[Item], do: Callable[[Item], Awaitable[Result]], at_once: int
) -> AsyncGenerator[tuple[Item, Result], None]:
    """Each item with what `do` made of it, in order; up to `at_once` calls are under way.

    Whoever stops early closes it, as `contextlib.aclosing` does: the other calls are cancelled.

    Raises:
        Exception: whatever a call raised, in its turn.
    """
    waiting: deque[tuple[Item, asyncio.Task[Result]]] = deque()

    async def call(item: Item) -> Result:
        return await do(item)

    try:
        async for item in items:
            waiting.append((item, asyncio.create_task(call(item))))
            if len(waiting) == at_once:
                first, task = waiting.popleft()
                yield first, await task
        while waiting:
            first, task = waiting.popleft()
            yield first, await task
    finally:
        for _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)
