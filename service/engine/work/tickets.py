"""Items that wait for a thread, and those who wait for their results."""

import asyncio
from typing import Any, Generic, NamedTuple, TypeVar

from service.telemetry.spans import Span

Result = TypeVar("Result")


class Ticket(Generic[Result]):
    """Items of one caller, and the future that all of their results go to."""

    __slots__ = ("future", "left", "results")

    def __init__(self, future: "asyncio.Future[list[Result]]", items: int) -> None:
        self.future = future
        self.left = items
        self.results: list[Any] = [None] * items

    def take(self, place: int, result: Result) -> None:
        """The result of an item."""
        self.results[place] = result
        self.left -= 1
        if not self.left and not self.future.done():
            self.future.set_result(self.results)

    def fail(self, error: Exception) -> None:
        """What happened in place of all results."""
        if not self.future.done():
            self.future.set_exception(error)


class Job(NamedTuple):
    """One item of a ticket, since when it waits, and the span of who waits for it."""

    item: Any
    ticket: Ticket[Any]
    place: int
    since: float
    span: Span | None


class Failed(NamedTuple):
    """What an item raised, in the place of its result."""

    error: Exception
