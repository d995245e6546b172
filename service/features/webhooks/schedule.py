"""Which delivery is next: those with the same key in order, the others whenever they are due."""

import heapq
from collections import deque
from dataclasses import dataclass

from service.features.webhooks.records import Delivery


@dataclass(eq=False)
class Item:
    """A delivery, the revision of its document, and when it is due by the event loop's clock."""

    delivery: Delivery
    revision: int
    due: float


class Schedule:
    """The deliveries of one endpoint that are not done."""

    def __init__(self) -> None:
        """Begin with none."""
        self._by_key: dict[str, deque[Item]] = {}
        self._due: list[tuple[float, int, Item]] = []
        self._numbers: set[int] = set()

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, number: object) -> bool:
        return number in self._numbers

    @property
    def oldest_at(self) -> float | None:
        """When the oldest event happened that is not delivered; any thread may ask."""
        # Copies are made at once; what is iterated over may change in between.
        waiting = map(tuple, tuple(self._by_key.values()))
        return min((items[0].delivery.event_at for items in waiting if items), default=None)

    def add(self, item: Item) -> None:
        """Add a delivery behind those with the same key."""
        waiting = self._by_key.setdefault(item.delivery.key, deque())
        waiting.append(item)
        self._numbers.add(item.delivery.number)
        if len(waiting) == 1:
            self._queue(item)

    def take(self, now: float) -> Item | None:
        """The next one that is due; it is not given again before `later`."""
        if self._due and self._due[0][0] <= now:
            return heapq.heappop(self._due)[2]
        return None

    def next_at(self) -> float | None:
        """When `take` gives the next one."""
        return self._due[0][0] if self._due else None

    def done(self, item: Item) -> None:
        """Remove one that was taken; it is the turn of the next with its key."""
        waiting = self._by_key[item.delivery.key]
        assert waiting[0] is item
        waiting.popleft()
        self._numbers.discard(item.delivery.number)
        if waiting:
            self._queue(waiting[0])
        else:
            del self._by_key[item.delivery.key]

    def later(self, item: Item) -> None:
        """Put one that was taken back; it is due again at its `due`."""
        self._queue(item)

    def _queue(self, item: Item) -> None:
        heapq.heappush(self._due, (item.due, item.delivery.number, item))
