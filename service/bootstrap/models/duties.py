"""What only the model that serves does: jobs, groups of duplicates, watchlists, deliveries."""

from collections.abc import Awaitable, Callable


class Duties:
    """Background work that begins when a model begins to serve, and ends with that."""

    def __init__(self) -> None:
        """Nothing is to be done yet."""
        self._all: list[tuple[Callable[[], None], Callable[[], Awaitable[None]]]] = []
        self._running: list[Callable[[], Awaitable[None]]] = []
        self._is_begun = False

    def add(self, start: Callable[[], None], stop: Callable[[], Awaitable[None]]) -> None:
        """One more; `stop` and `start` may follow each other again and again."""
        self._all.append((start, stop))
        if self._is_begun:
            start()
            self._running.append(stop)

    def begin(self) -> None:
        """Do them all, those that are added later too."""
        if self._is_begun:
            return
        self._is_begun = True
        for start, stop in self._all:
            start()
            self._running.append(stop)

    async def end(self) -> None:
        """Do none of them any more."""
        self._is_begun = False
        while self._running:
            await self._running.pop()()
