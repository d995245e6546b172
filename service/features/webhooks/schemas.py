"""Requests and responses of `/v1/webhooks`."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from service.features.events.kinds import MOST_KINDS
from service.http.schemas import Request, Response, with_nulls

EXAMPLE_ID = "wh-0f3c9a1b5e7d2c4a"
ID_PATTERN = r"^wh-[0-9a-f]{16}$"
EXAMPLE_DELIVERY = "00000000002a"
MOST_REPLAYED = 500
_MOST_GRACE_S = 30 * 86_400
_WEBHOOK: dict[str, Any] = {
    "webhook_id": EXAMPLE_ID,
    "version": 17,
    "url": "https://anti-fraud.example.org/hooks",
    "kinds": ["duplicates.*", "watchlist.*"],
    "description": "cases of the anti-fraud team",
    "enabled": True,
    "disabled_because": None,
    "created_at": 1862438400.1,
    "created_by": "3f9c1a2b7d04",
    "previous_secret_until": None,
    "due": 2,
    "dead": 0,
    "delivered": 340,
    "missed": 0,
    "last_success_at": 1862438461.2,
    "last_failure_at": 1862438460.9,
    "last_failure": "the target answers 503",
}
_SECRET = {"secret": "whsec_MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA="}
_DELIVERY: dict[str, Any] = {
    "delivery_id": EXAMPLE_DELIVERY,
    "message_id": "msg_3b1f0c9a5e7d2c4a6b8f9e01",
    "event_id": "evt-3b1f0c9a5e7d2c4a6b8f9e01",
    "kind": "duplicates.grew",
    "event_at": 1862438400.1,
    "attempts": 10,
    "next_at": None,
    "last_at": 1862710000.5,
    "last_status": 500,
    "last_error": "the target answers 500",
}

Kinds = Annotated[
    list[Annotated[str, StringConstraints(max_length=82)]],
    Field(
        fail_fast=True,
        min_length=1,
        max_length=MOST_KINDS,
        description="Of GET /v1/events, such as duplicates.merged, or duplicates.* for each kind "
        "that begins so; webhook.* is not sent.",
    ),
]
Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2048,
        description="Where events are posted: https, on the public internet or in a network of "
        "STREAMER_WEBHOOKS__PRIVATE_NETWORKS.",
    ),
]
Description = Annotated[str, Field(max_length=500, description="For people.")]
Time = Annotated[float | None, Field(description="Seconds since 1970, UTC; null: not yet.")]


class WebhookIn(Request):
    """A new webhook."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "url": "https://anti-fraud.example.org/hooks",
                    "kinds": ["duplicates.*", "watchlist.*"],
                    "description": "cases of the anti-fraud team",
                }
            ]
        }
    )

    url: Url
    kinds: Kinds
    description: Description = ""


class WebhookChangesIn(Request):
    """What is to be changed (JSON merge patch): what is not named stays as it was."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"kinds": ["streamer.deleted"]}, {"enabled": True}]}
    )

    url: Url | None = None
    kinds: Kinds | None = None
    description: Description | None = None
    enabled: Annotated[
        bool | None,
        Field(
            description="False: nothing is sent, and what happens waits as long as the feed keeps "
            "it. True: sent again."
        ),
    ] = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("names no change; give url, kinds, description or enabled")
        if nulls := [n for n in sorted(self.model_fields_set) if getattr(self, n) is None]:
            raise ValueError(f"{nulls[0]}: cannot be removed; give another one")
        return self


class RotateSecretIn(Request):
    """How long the secret before signs too."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"grace_s": 3600}]})

    grace_s: Annotated[
        float,
        Field(
            ge=0,
            le=_MOST_GRACE_S,
            allow_inf_nan=False,
            description="Seconds in which each message has a signature by either; 0: it ends now, "
            "and what is left of earlier ones too.",
        ),
    ] = 86_400


class ReplayIn(Request):
    """Which dead letters are sent again."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{}, {"delivery_ids": [EXAMPLE_DELIVERY]}]}
    )

    delivery_ids: Annotated[
        list[Annotated[str, StringConstraints(pattern="^[0-9a-f]{12}$")]] | None,
        Field(fail_fast=True, min_length=1, max_length=MOST_REPLAYED, description="Null: all."),
    ] = None


class WebhookOut(Response):
    """A webhook, without its secret."""

    model_config = ConfigDict(json_schema_extra={"examples": [with_nulls(_WEBHOOK)]})

    webhook_id: str
    version: Annotated[int, Field(description="For If-Match; also the ETag.")]
    url: str
    kinds: list[str]
    description: str
    enabled: bool
    disabled_because: Annotated[
        str | None, Field(description="Why the service disabled it; null: it did not.")
    ]
    created_at: float
    created_by: Annotated[str, Field(description="Id of the key.")]
    previous_secret_until: Annotated[
        float | None, Field(description="Until then the secret before signs too.")
    ]
    due: Annotated[int, Field(description="Messages stored and not delivered; the feed has more.")]
    dead: Annotated[int, Field(description="Messages given up; the newest 1,000 are kept.")]
    delivered: Annotated[int, Field(description="Messages that arrived.")]
    missed: Annotated[
        int, Field(description="Events that left the feed before they could be sent.")
    ]
    last_success_at: Time
    last_failure_at: Time
    last_failure: str | None


class WebhookWithSecretOut(WebhookOut):
    """A webhook and its secret, which is shown this once."""

    model_config = ConfigDict(json_schema_extra={"examples": [with_nulls(_WEBHOOK | _SECRET)]})

    secret: Annotated[str, Field(description="Verifies signatures (Standard Webhooks).")]


class WebhookPage(Response):
    """Webhooks in the order of their ids."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [with_nulls({"webhooks": [_WEBHOOK], "next_cursor": None})]}
    )

    webhooks: list[WebhookOut]
    next_cursor: Annotated[str | None, Field(description="Null on the last page.")]


class WebhookDeletedOut(Response):
    """Nothing is sent any more."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"webhook_id": EXAMPLE_ID}]})

    webhook_id: str


class TestedOut(Response):
    """How the ping ended."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [with_nulls({"delivered": True, "status": 204, "error": None})]
        }
    )

    delivered: bool
    status: Annotated[int | None, Field(description="Of HTTP; null: there was no answer.")]
    error: Annotated[str | None, Field(description="Why it failed.")]


class DeliveryOut(Response):
    """A message and its attempts."""

    delivery_id: str
    message_id: Annotated[str, Field(description="The header webhook-id of each attempt.")]
    event_id: Annotated[str, Field(description="As in GET /v1/events.")]
    kind: str
    event_at: Annotated[float, Field(description="When it happened, in seconds since 1970.")]
    attempts: int
    next_at: Annotated[
        float | None, Field(description="When the next attempt is due; null: at once, or never.")
    ]
    last_at: Time
    last_status: Annotated[int | None, Field(description="Of HTTP; null: there was no answer.")]
    last_error: str | None


class DeliveryPage(Response):
    """Deliveries in the order of their events."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [with_nulls({"deliveries": [_DELIVERY], "next_cursor": None})]
        }
    )

    deliveries: list[DeliveryOut]
    next_cursor: Annotated[str | None, Field(description="Null on the last page.")]


class ReplayedOut(Response):
    """How many messages are due again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"replayed": 3}]})

    replayed: int


Listed = Literal["due", "delivered", "dead"]
