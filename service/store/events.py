"""The store's interface for events: one feed of what happened, kept for a while, read by a cursor.

Whoever emits an event does so in the same atomic step as that which it tells of, so none is lost or
told twice. The first part of a kind is its *group*: each group has its own contiguous numbers and
its own room, so that a reader sees when what it has not read was dropped, and a load of 100,000
streamers drops no alert. Between groups the store's clock decides, and what a write made comes
after the write.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

MOST_KEPT = 100_000
"""Events of each group that are kept, about."""
WRITES = "writes"
"""The group of the kinds in `WRITTEN`, of which each write of streamers tells one."""
WRITTEN = frozenset(("streamer.upserted", "streamer.deleted"))


@dataclass(frozen=True)
class NewEvent:
    """Something that happened.

    Attributes:
        event_id: a hash of its cause: the same cause makes the same id.
        kind: what happened, as `duplicates.merged`.
        data: a JSON object.
    """

    event_id: str
    kind: str
    data: bytes


@dataclass(frozen=True)
class StoredEvent(NewEvent):
    """An event in the feed.

    Attributes:
        group: in which it is numbered.
        number: its place there, contiguous.
        at: seconds since 1970 by the store's clock.
        mark: six hex digits of its id and time: another one by the same number has others.
    """

    group: str
    number: int
    at: float
    mark: str = ""


@dataclass(frozen=True)
class FeedPlace:
    """A place in the feed; another epoch means another feed, as after a restore.

    Attributes:
        epoch: of the feed.
        numbers: of the last event that was read, by group; of others nothing was read.
        marks: of these events, by group, where they are known.
    """

    epoch: str
    numbers: Mapping[str, int]
    marks: Mapping[str, str] = field(default_factory=dict[str, str])

    def behind(self, event: StoredEvent) -> "FeedPlace":
        """The place after one more event."""
        numbers = {**self.numbers, event.group: event.number}
        return FeedPlace(self.epoch, numbers, {**self.marks, event.group: event.mark})


class FeedGap(Exception):
    """The events after a place are not kept any more, or are of another feed.

    Attributes:
        missed: how many of which groups; empty where it is another feed.
    """

    def __init__(self, reason: str, missed: Mapping[str, int]) -> None:
        """Tell why, and what is not there."""
        super().__init__(reason)
        self.missed = missed


@dataclass(frozen=True)
class EventPage:
    """Events in order, and the place after them, from where on there may be more at any time.

    Attributes:
        events: some of those behind the place that was asked for.
        after: the place after them.
        begins: the place before the first of them.
        oldest_at: when the oldest event happened that is kept, by group; None: it has none.
    """

    events: Sequence[StoredEvent]
    after: FeedPlace
    begins: FeedPlace
    oldest_at: Mapping[str, float | None]


class EventStore(Protocol):
    """Reads the feed. All methods raise StoreUnavailable when the store does not answer."""

    async def page(
        self, after: FeedPlace | None, limit: int, groups: Collection[str] | None = None
    ) -> EventPage:
        """Up to `limit` events after a place; None = from the oldest that is kept.

        Args:
            after: a place.
            limit: most events.
            groups: those that are read; in others the place stays. None = all.

        Raises:
            FeedGap: those that come next are not kept any more.
        """
        ...

    async def newest(self) -> FeedPlace:
        """The place after the newest event of every group."""
        ...
