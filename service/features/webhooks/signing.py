"""Secrets, signatures and bodies of webhooks, by Standard Webhooks."""

import base64
import hashlib
import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks import Webhook

_SECRET_BYTES = 32
PREFIX = "whsec_"


def new_secret() -> str:
    """A secret that nobody has."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def message_id(webhook_id: str, event_id: str) -> str:
    """The id of an event's message to one target: each attempt has the same, no other has."""
    return f"msg_{hashlib.sha256(f'{webhook_id} {event_id}'.encode()).hexdigest()[:24]}"


def body_of(event_id: str, kind: str, at: float, data: bytes) -> str:
    """The body of a message."""
    when = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    fields = {
        "type": kind,
        "timestamp": when.replace("+00:00", "Z"),
        "event_id": event_id,
        "data": json.loads(data),
    }
    return json.dumps(fields, separators=(",", ":"))


def headers_of(message: str, body: str, now: float, keys: Sequence[str]) -> list[tuple[str, str]]:
    """The headers of one attempt.

    Args:
        message: its id.
        body: as it is sent.
        now: seconds since 1970.
        keys: the secrets; the target needs one of them.
    """
    when = datetime.fromtimestamp(int(now), UTC)
    signatures = " ".join(Webhook(key).sign(message, when, body) for key in keys)
    return [
        ("Content-Type", "application/json"),
        ("webhook-id", message),
        ("webhook-timestamp", str(int(now))),
        ("webhook-signature", signatures),
    ]
