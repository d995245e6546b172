"""Where the calls of an index run."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Work(Protocol):
    """Runs calls on the event loop while they are short, and in threads otherwise."""

    async def run(self, call: Callable[[], Result], cost_ms: float) -> Result:
        """Make a call that is expected to take `cost_ms` of one core.

        Raises:
            Overloaded: too many calls wait already, or the deadline passed.
            Exception: whatever the call raises.
        """
        ...

    async def together(
        self,
        answer: Callable[[Sequence[Item]], Sequence[Result]],
        item: Item,
        cost_ms: float,
    ) -> Result:
        """One result of `answer`, which is called with other items that come at the same time.

        Args:
            answer: gives one result for each item, in order.
            item: the one whose result is returned.
            cost_ms: what one item is expected to take.

        Raises:
            Overloaded: too many items wait already, or the deadline passed.
            Exception: whatever `answer` raises.
        """
        ...


class Inline:
    """Makes every call at once, where it is asked for: for commands that do nothing else."""

    async def run(self, call: Callable[[], Result], cost_ms: float) -> Result:
        """Make the call; see `Work.run`."""
        del cost_ms
        return call()

    async def together(
        self,
        answer: Callable[[Sequence[Item]], Sequence[Result]],
        item: Item,
        cost_ms: float,
    ) -> Result:
        """Answer the item alone; see `Work.together`."""
        del cost_ms
        return answer([item])[0]
