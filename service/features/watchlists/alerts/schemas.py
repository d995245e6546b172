"""Requests and responses of `/v1/alerts`."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from service.features.watchlists.schemas import EXAMPLE_WATCHLIST
from service.http.schemas import Request, Response, with_nulls

ALERT_PATTERN = "^al-[0-9a-f]{24}$"
EXAMPLE_ALERT = "al-5e7d2c4a6b8f9e010f3c9a1b"
State = Annotated[
    Literal["open", "confirmed", "dismissed"],
    Field(
        description="open: nobody has decided yet; content that the streamer shows later brings "
        "the alert up to date. dismissed: it stays so, for this content."
    ),
]
_DECISION: dict[str, Any] = {
    "state": "confirmed",
    "note": "same voice",
    "key_id": "3f9c1a2b7d04",
    "key_name": "desk 2",
    "at": 1862438500.1,
}
_EXAMPLE: dict[str, Any] = {
    "alert_id": EXAMPLE_ALERT,
    "revision": 44,
    "watchlist_id": EXAMPLE_WATCHLIST,
    "watchlist_version": 1,
    "watchlist_name": "noodle ring",
    "mode": "on",
    "state": "confirmed",
    "streamer_id": "w0412",
    "digest": "9b2f" * 16,
    "sequence": 5003,
    "seed": 0,
    "seed_id": "w0087",
    "probability": 0.9996,
    "weight": 19.2,
    "verdict": "near_duplicate",
    "evidence": [
        {"channel": "text", "level": "whole", "weight": 12.6},
        {"channel": "tags", "level": "rare", "weight": 6.6},
    ],
    "model_version": "transfer-plus-a931f7997f06",
    "at": 1862438400.4,
    "decisions": [_DECISION],
}


class AlertIn(Request):
    """What became of an alert."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"state": "confirmed", "note": "same voice"}]}
    )

    state: State
    note: Annotated[str, Field(max_length=1000, description="For people.")] = ""


class AlertEvidenceOut(Response):
    """What a channel adds to the match weight."""

    channel: str
    level: Annotated[str, Field(description="How far the two agree, as in `POST /v1/compare`.")]
    weight: Annotated[float, Field(description="Bits, log2(m / u) of the level.")]


class DecisionOut(Response):
    """What somebody made of an alert."""

    state: State
    note: str
    key_id: Annotated[str, Field(description="Of the API key.")]
    key_name: str
    at: Annotated[float, Field(description="Seconds since 1970, UTC.")]


class AlertOut(Response):
    """A streamer that matched a watchlist."""

    model_config = ConfigDict(json_schema_extra={"examples": [with_nulls(_EXAMPLE)]})

    alert_id: Annotated[
        str,
        Field(
            description="A hash of the list, the streamer and the content that it was raised of."
        ),
    ]
    revision: Annotated[int, Field(description="Send it as If-Match.")]
    watchlist_id: str
    watchlist_version: Annotated[int, Field(description="Of the list when it matched.")]
    watchlist_name: str
    mode: Literal["shadow", "on"]
    state: State
    streamer_id: str
    digest: Annotated[str, Field(description="SHA-256 of the profile that matched last.")]
    sequence: Annotated[int, Field(description="Of the write that was matched.")]
    seed: Annotated[int, Field(description="Place of the best positive seed in the list.")]
    seed_id: Annotated[str | None, Field(description="Its streamer; null of a profile.")]
    probability: Annotated[float, Field(description="That the streamer and the seed are the same.")]
    weight: Annotated[float, Field(description="Match weight, in bits.")]
    verdict: Literal["same_media", "near_duplicate", "same_contact", "same_style", "unrelated"]
    evidence: Annotated[
        list[AlertEvidenceOut],
        Field(
            description="Channels that both show; their weights add up. `POST /v1/compare` of the "
            "two has the quotes."
        ),
    ]
    model_version: str
    at: Annotated[float, Field(description="When it was raised, seconds since 1970, UTC.")]
    decisions: Annotated[list[DecisionOut], Field(description="The last twenty.")]


class AlertPage(Response):
    """Alerts in the order in which they were raised."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                with_nulls(
                    {"alerts": [_EXAMPLE], "next_cursor": "YWxlcnRzfDAwMQ", "has_more": False}
                )
            ]
        }
    )

    alerts: list[AlertOut]
    next_cursor: Annotated[
        str | None,
        Field(
            description="Continues behind these, also on the last page: asked again with it, those "
            "that were raised since come. null while there is none at all."
        ),
    ]
    has_more: Annotated[
        bool, Field(description="Whether more may come now; a page may be shorter than `limit`.")
    ] = True
