"""Requests of webhooks."""

import uuid
from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import quote

from pydantic_core import to_json

from service.client.calls import Call, params_of, reader_of
from service.client.models import (
    DeliveryPage,
    ReplayedOut,
    TestedOut,
    WebhookDeletedOut,
    WebhookOut,
    WebhookPage,
    WebhookWithSecretOut,
)

DeliveryState = Literal["due", "delivered", "dead"]
_JSON = {"Content-Type": "application/json"}


def _at(webhook_id: str, rest: str = "") -> str:
    return f"/v1/webhooks/{quote(webhook_id, safe='')}{rest}"


def _expecting(version: int | None) -> dict[str, str]:
    return {} if version is None else {"If-Match": f'"{version}"'}


def create(url: str, kinds: Sequence[str], description: str) -> Call[WebhookWithSecretOut]:
    """`POST /v1/webhooks`: sent again with its key, it makes no other one."""
    content = to_json({"url": url, "kinds": list(kinds), "description": description})
    read = reader_of(WebhookWithSecretOut)
    headers = _JSON | {"Idempotency-Key": f'"{uuid.uuid4()}"'}
    return Call("POST", "/v1/webhooks", read, content=content, headers=headers)


def page(limit: int, cursor: str | None) -> Call[WebhookPage]:
    """`GET /v1/webhooks`."""
    params = params_of(limit=limit, cursor=cursor)
    return Call("GET", "/v1/webhooks", reader_of(WebhookPage), params=params)


def get(webhook_id: str) -> Call[WebhookOut]:
    """`GET /v1/webhooks/{webhook_id}`."""
    return Call("GET", _at(webhook_id), reader_of(WebhookOut))


def update(webhook_id: str, changes: dict[str, Any], version: int | None) -> Call[WebhookOut]:
    """`PATCH /v1/webhooks/{webhook_id}`."""
    return Call(
        "PATCH",
        _at(webhook_id),
        reader_of(WebhookOut),
        content=to_json(changes),
        headers=_JSON | _expecting(version),
        is_repeatable=version is None,
    )


def delete(webhook_id: str, version: int | None) -> Call[WebhookDeletedOut]:
    """`DELETE /v1/webhooks/{webhook_id}`."""
    headers = _expecting(version)
    read = reader_of(WebhookDeletedOut)
    return Call("DELETE", _at(webhook_id), read, headers=headers, is_repeatable=False)


def rotate(webhook_id: str, grace_s: float) -> Call[WebhookWithSecretOut]:
    """`POST /v1/webhooks/{webhook_id}:rotate`: sent again with its key, it gives no other one."""
    return Call(
        "POST",
        _at(webhook_id, ":rotate"),
        reader_of(WebhookWithSecretOut),
        content=to_json({"grace_s": grace_s}),
        headers=_JSON | {"Idempotency-Key": f'"{uuid.uuid4()}"'},
    )


def test(webhook_id: str) -> Call[TestedOut]:
    """`POST /v1/webhooks/{webhook_id}:test`."""
    return Call("POST", _at(webhook_id, ":test"), reader_of(TestedOut))


def deliveries(
    webhook_id: str, state: DeliveryState, limit: int, cursor: str | None
) -> Call[DeliveryPage]:
    """`GET /v1/webhooks/{webhook_id}/deliveries`."""
    params = params_of(state=state, limit=limit, cursor=cursor)
    return Call("GET", _at(webhook_id, "/deliveries"), reader_of(DeliveryPage), params=params)


def replay(webhook_id: str, delivery_ids: Sequence[str] | None) -> Call[ReplayedOut]:
    """`POST /v1/webhooks/{webhook_id}:replay`."""
    content = to_json({"delivery_ids": None if delivery_ids is None else list(delivery_ids)})
    return Call(
        "POST",
        _at(webhook_id, ":replay"),
        reader_of(ReplayedOut),
        content=content,
        headers=_JSON,
        is_repeatable=False,
    )
