"""Responses of `/v1/events`."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from service.http.schemas import Response, with_nulls

EXAMPLE_CURSOR = "5f0c9a1b-2a"
_EXAMPLE: dict[str, Any] = {
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


class EventOut(Response):
    """Something that happened."""

    event_id: Annotated[
        str, Field(description="A hash of its cause: the same event never has two.")
    ]
    kind: Annotated[
        str,
        Field(
            description="duplicates.merged: group_id took in `groups`. duplicates.split: members "
            "of group_id are in `groups` now, or in none (`streamer_ids`, the first 100). "
            "duplicates.grew: `streamer_ids` (the first 100) joined group_id, or made it "
            "(size_before 0). More kinds may come: skip those that you do not know."
        ),
    ]
    at: Annotated[float, Field(description="Seconds since 1970, UTC.")]
    data: dict[str, Any]


class EventPage(Response):
    """Events in order; keep `next_cursor` and ask again with it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [with_nulls({"events": [_EXAMPLE], "next_cursor": EXAMPLE_CURSOR})]
        }
    )

    events: list[EventOut]
    next_cursor: Annotated[
        str, Field(description="Continues behind the last event, also when there is none yet.")
    ]
