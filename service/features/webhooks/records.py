"""What is stored of webhooks, as documents; and what a process did.

webhooks                  an `Endpoint` by its id
webhooks:state            its `State`; only the process that delivers changes it
webhooks:<id>:due         each `Delivery` that is not done, by its number
webhooks:<id>:delivered   the newest ones that are
webhooks:<id>:dead        those that are given up
webhooks:leader           which process delivers
"""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from service.store.events import FeedPlace

ENDPOINTS, STATES, REQUESTS = "webhooks", "webhooks:state", "webhooks:requests"
MOST_ENDPOINTS = 50
MOST_DUE = 500
"""Of one endpoint; the rest waits in the feed."""
MOST_DEAD = 1000
MOST_DELIVERED = 100
DeliveryState = Literal["due", "delivered", "dead"]


class Secret(BaseModel):
    """A signing secret; `until` is when it ends, in seconds since 1970."""

    text: str
    until: float | None = None


class Place(BaseModel):
    """A `FeedPlace` as JSON."""

    epoch: str
    numbers: dict[str, int]
    marks: dict[str, str] = {}


class Endpoint(BaseModel):
    """A target of webhooks.

    Attributes:
        webhook_id: its id.
        url: where events are posted.
        kinds: of the events.
        description: for people.
        secrets: the newest first.
        enabled: whether anything is sent.
        disabled_because: why not, where it was not a person.
        begins: of kinds that are sent since then, only events behind this place.
        created_at: seconds since 1970.
        created_by: id of the key.
        replays: how often dead letters were made due again.
        request: that made it, where an `Idempotency-Key` named it.
        rotation: the request that gave it its secret, likewise.
    """

    webhook_id: str
    url: str
    kinds: list[str]
    description: str
    secrets: list[Secret]
    enabled: bool
    disabled_because: str | None
    begins: Place
    created_at: float
    created_by: str
    replays: int = 0
    request: str = ""
    rotation: str = ""

    def keys(self, now: float) -> list[str]:
        """The secrets that sign now."""
        return [s.text for s in self.secrets if s.until is None or s.until > now]


class State(BaseModel):
    """How far an endpoint is.

    Attributes:
        place: up to which the feed was read for it.
        following: number of the next delivery.
        delivered: deliveries that succeeded.
        missed: events that were not kept long enough to be sent.
        last_success_at: seconds since 1970.
        last_failure_at: likewise.
        last_failure: why it failed.
    """

    place: Place
    following: int = 1
    delivered: int = 0
    missed: int = 0
    last_success_at: float | None = None
    last_failure_at: float | None = None
    last_failure: str | None = None


class Delivery(BaseModel):
    """A message for one endpoint.

    Attributes:
        number: in order of the feed.
        message: its id.
        event_id: of the event.
        kind: likewise.
        key: messages with the same key come in order.
        body: as it is sent.
        event_at: when it happened, in seconds since 1970.
        attempts: how many failed, or of one that is delivered all.
        next_at: when the next one is due, in seconds since 1970.
        delay_s: between the last attempt and that.
        last_at: when the last one ended.
        last_status: of HTTP; None where there was no answer.
        last_error: why the last one failed.
    """

    number: int
    message: str
    event_id: str
    kind: str
    key: str
    body: str
    event_at: float
    attempts: int = 0
    next_at: float = 0.0
    delay_s: float = 0.0
    last_at: float | None = None
    last_status: int | None = None
    last_error: str | None = None

    @property
    def document_id(self) -> str:
        """Of its document: in byte order the first comes first."""
        return f"{self.number:012x}"


@dataclass
class Delivered:
    """What this process did since its start.

    Attributes:
        delivered: messages that arrived.
        failed: attempts that did not.
        dead: messages that were given up.
        disabled: endpoints that want no more messages, by a 410.
        missed: events that left the feed before they were messages.
    """

    delivered: int = 0
    failed: int = 0
    dead: int = 0
    disabled: int = 0
    missed: int = 0


def deliveries(webhook_id: str, state: DeliveryState) -> str:
    """The collection of an endpoint's deliveries."""
    return f"webhooks:{webhook_id}:{state}"


def bytes_of(record: BaseModel) -> bytes:
    """A record as it is stored."""
    return record.model_dump_json().encode()


def feed_place(place: Place) -> FeedPlace:
    """The place as the feed knows it."""
    return FeedPlace(place.epoch, place.numbers, place.marks)


def place_of(place: FeedPlace) -> Place:
    """The place as it is stored."""
    return Place(epoch=place.epoch, numbers=dict(place.numbers), marks=dict(place.marks))
