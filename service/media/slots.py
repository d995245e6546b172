"""How much is under way at once: overall, and with one host."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from weakref import WeakValueDictionary

from service.errors import Overloaded


class Slots:
    """Two bounds; a host that is slow keeps its own callers waiting, not those of others."""

    def __init__(self, overall: int, per_host: int) -> None:
        """How many may be held at once."""
        self._overall = asyncio.Semaphore(overall)
        self._per_host = per_host
        # Patterns allow any number of names: a host is known only as long as somebody uses it.
        self._hosts: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def take(self, host: str, deadline: float) -> AsyncGenerator[None]:
        """A slot for one exchange with a host.

        Args:
            host: its name.
            deadline: until when to wait, in the time of the event loop, in seconds.

        Raises:
            Overloaded: none was free in time.
        """
        of_host = self._hosts.setdefault(host, asyncio.Semaphore(self._per_host))
        async with contextlib.AsyncExitStack() as held:
            try:
                async with asyncio.timeout_at(deadline):
                    # In this order: who waits for a host must not hold what all share.
                    await held.enter_async_context(of_host)
                    await held.enter_async_context(self._overall)
            except TimeoutError:
                raise Overloaded("too many pictures and sounds are being fetched") from None
            yield
