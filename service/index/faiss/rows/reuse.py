"""When a slot that was left may be used again: once nobody reads what it held."""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator


class SlotReuse:
    """Readers and the slots that were left while they read. Not safe from several threads."""

    def __init__(self) -> None:
        self._clock = itertools.count()
        self._readers: dict[int, None] = {}  # when each began, oldest first
        self._left: deque[tuple[int, int]] = deque()  # since when, slot

    def begin(self) -> int:
        """A reader begins; `end` takes what this returns."""
        began = next(self._clock)
        self._readers[began] = None
        return began

    def end(self, began: int) -> None:
        """A reader ends."""
        del self._readers[began]

    def leave(self, slot: int) -> None:
        """A slot holds nobody's newest version any more."""
        self._left.append((next(self._clock), slot))

    def take(self) -> int | None:
        """A slot that nobody reads; None where there is none."""
        if not self._left:
            return None
        since, slot = self._left[0]
        if since > next(iter(self._readers), since + 1):
            return None
        self._left.popleft()
        return slot

    def left(self, since: int = -1) -> Iterator[int]:
        """Slots that were left and not taken again, after a reader began or ever."""
        return (slot for when, slot in self._left if when > since)

    def restart(self, left: Iterable[int]) -> None:
        """Begin anew with slots that nobody has or reads."""
        self._left = deque((next(self._clock), slot) for slot in left)
