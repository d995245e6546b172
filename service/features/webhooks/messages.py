"""What is made of events: messages for an endpoint, and events that tell of webhooks."""

import hashlib
import json
from collections.abc import Mapping, Sequence

from service.features.webhooks.records import Delivery
from service.features.webhooks.signing import body_of, message_id
from service.store.events import NewEvent, StoredEvent


def messages_of(webhook_id: str, events: Sequence[StoredEvent], first: int) -> list[Delivery]:
    """A message of each event for an endpoint, numbered from `first`."""
    return [
        Delivery(
            number=number,
            message=message_id(webhook_id, event.event_id),
            event_id=event.event_id,
            kind=event.kind,
            key=_key_of(event),
            body=body_of(event.event_id, event.kind, event.at, event.data),
            event_at=event.at,
        )
        for number, event in enumerate(events, first)
    ]


def _key_of(event: StoredEvent) -> str:
    """What comes in order: events of the same streamer or group, others of the same kind."""
    data = json.loads(event.data)
    for name in ("streamer_id", "group_id"):
        if isinstance(of := data.get(name), str):
            return f"{name.partition('_')[0]} {of}"
    return event.kind


def told(kind: str, webhook_id: str, cause: str, data: Mapping[str, object]) -> NewEvent:
    """An event of a kind about a webhook; the same cause makes the same one."""
    digest = hashlib.sha256(f"{kind}\n{webhook_id}\n{cause}".encode()).hexdigest()
    return NewEvent(f"evt-{digest[:24]}", kind, json.dumps(data).encode())


def dead_lettered(webhook_id: str, delivery: Delivery) -> NewEvent:
    """The event that tells of a message which is given up."""
    data: dict[str, object] = {
        "webhook_id": webhook_id,
        "delivery_id": delivery.document_id,
        "message_id": delivery.message,
        "event_id": delivery.event_id,
        "kind": delivery.kind,
        "attempts": delivery.attempts,
        "error": delivery.last_error,
    }
    cause = f"{delivery.message} {delivery.last_at}"
    return told("webhook.dead_lettered", webhook_id, cause, data)
