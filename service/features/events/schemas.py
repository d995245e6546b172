"""Responses of `/v1/events`."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from service.http.schemas import Response, with_nulls

EXAMPLE_CURSOR = "5f0c9a1b-duplicates.2a-writes.1f"
EXAMPLE: dict[str, Any] = {
    "event_id": "evt-3b1f0c9a5e7d2c4a6b8f9e01",
    "kind": "duplicates.grew",
    "at": 1862438400.1,
    "data": {
        "group_id": "dup-0f3c9a1b5e7d2c4a6b8f9e01",
        "groups": [],
        "streamer_ids": ["w0087"],
        "size": 3,
        "size_before": 2,
    },
}
_RETENTION = {
    "duplicates": {"most_events": 100_000, "oldest_at": 1862438400.1},
    "writes": {"most_events": 100_000, "oldest_at": 1862438399.8},
}


class EventOut(Response):
    """Something that happened."""

    event_id: Annotated[
        str, Field(description="A hash of its cause: the same event never has two.")
    ]
    kind: Annotated[
        str,
        Field(
            description="streamer.upserted, streamer.deleted: `streamer_id` has this `version`, "
            "or is gone. streamer.graduated: it is established in a space. watchlist.matched: a "
            "watchlist raised an alert. duplicates.merged: group_id took in `groups`. "
            "duplicates.split: members of group_id are in `groups` now, or in none "
            "(`streamer_ids`, the first 100). "
            "duplicates.grew: `streamer_ids` (the first 100) joined group_id, or made it "
            "(size_before 0). webhook.disabled, webhook.missed, webhook.dead_lettered: see "
            "POST /v1/webhooks. More kinds may come: skip those that you do not know."
        ),
    ]
    at: Annotated[float, Field(description="Seconds since 1970, UTC.")]
    data: dict[str, Any]


class RetentionOut(Response):
    """How much of a group of kinds is kept."""

    most_events: Annotated[int, Field(description="About so many of the newest are kept.")]
    oldest_at: Annotated[
        float | None,
        Field(description="When the oldest that is kept happened; null: there is none."),
    ]


class EventsEnd(Response):
    """What comes after the events, and as the last line of NDJSON."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [with_nulls({"next_cursor": EXAMPLE_CURSOR, "retention": _RETENTION})]
        }
    )

    next_cursor: Annotated[
        str, Field(description="Continues behind the last event, also when there is none yet.")
    ]
    retention: Annotated[
        dict[str, RetentionOut],
        Field(
            description="By the first part of the kinds that were read; `writes` has "
            "streamer.upserted and streamer.deleted. Each has its own room."
        ),
    ]


class EventPage(EventsEnd):
    """Events in order; keep `next_cursor` and ask again with it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                with_nulls(
                    {"events": [EXAMPLE], "next_cursor": EXAMPLE_CURSOR, "retention": _RETENTION}
                )
            ]
        }
    )

    events: list[EventOut]
