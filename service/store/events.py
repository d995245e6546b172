"""The store's interface for events: one feed of what happened, kept for a while, read by a cursor.

Whoever emits an event does so in the same atomic step as that which it tells of, so none is lost or
told twice. Numbers are contiguous, so that a reader sees when what it has not read was dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


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
        number: its place, contiguous from 1.
        at: seconds since 1970 by the store's clock.
    """

    number: int
    at: float


@dataclass(frozen=True)
class FeedPlace:
    """A place in the feed; another epoch means another feed, as after a restore."""

    epoch: str
    number: int


class FeedGap(Exception):
    """The events after a place are not kept any more, or are of another feed."""


@dataclass(frozen=True)
class EventPage:
    """Events in order, and the place after them, from where on there may be more at any time."""

    events: Sequence[StoredEvent]
    after: FeedPlace


class EventStore(Protocol):
    """Reads the feed. All methods raise StoreUnavailable when the store does not answer."""

    async def page(self, after: FeedPlace | None, limit: int) -> EventPage:
        """Up to `limit` events after a place; None = from the oldest that is kept.

        Raises:
            FeedGap: those that come next are not kept any more.
        """
        ...
