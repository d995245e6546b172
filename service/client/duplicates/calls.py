"""Requests of groups of duplicates, judgements and events.

Judgements are not repeatable: the newest one of a pair holds, and what somebody else judged after a
lost answer would be older than what is sent again.
"""

from collections.abc import Sequence
from typing import Literal
from urllib.parse import quote

from pydantic_core import to_json

from service.client.calls import Call, params_of, reader_of
from service.client.models import (
    EventPage,
    GivenOut,
    GroupDetailOut,
    GroupPage,
    JudgementPage,
    StreamerDuplicatesOut,
    TakenBackOut,
)

Order = Literal["size", "newest"]
Verdict = Literal["same", "different", "unsure"]
_JSON = {"Content-Type": "application/json"}


def page_of_groups(order: Order, limit: int, cursor: str | None) -> Call[GroupPage]:
    """`GET /v1/duplicates`."""
    params = params_of(order=order, limit=limit, cursor=cursor)
    return Call("GET", "/v1/duplicates", reader_of(GroupPage), params=params)


def group(group_id: str, limit: int, cursor: str | None) -> Call[GroupDetailOut]:
    """`GET /v1/duplicates/{group_id}`."""
    path, params = (
        f"/v1/duplicates/{quote(group_id, safe='')}",
        params_of(limit=limit, cursor=cursor),
    )
    return Call("GET", path, reader_of(GroupDetailOut), params=params)


def duplicates_of(streamer_id: str, limit: int) -> Call[StreamerDuplicatesOut]:
    """`GET /v1/streamers/{streamer_id}/duplicates`."""
    path = f"/v1/streamers/{quote(streamer_id, safe=':')}/duplicates"
    return Call("GET", path, reader_of(StreamerDuplicatesOut), params=params_of(limit=limit))


def judge(a: str, b: str, verdict: Verdict, note: str) -> Call[GivenOut]:
    """`PUT /v1/judgements`."""
    content = to_json({"a": a, "b": b, "verdict": verdict, "note": note})
    return Call(
        "PUT",
        "/v1/judgements",
        reader_of(GivenOut),
        content=content,
        headers=_JSON,
        is_repeatable=False,
    )


def take_back(a: str, b: str) -> Call[TakenBackOut]:
    """`DELETE /v1/judgements`."""
    params, read = params_of(a=a, b=b), reader_of(TakenBackOut)
    return Call("DELETE", "/v1/judgements", read, params=params, is_repeatable=False)


def page_of_judgements(
    streamer_id: str | None, limit: int, cursor: str | None
) -> Call[JudgementPage]:
    """`GET /v1/judgements`."""
    params = params_of(streamer_id=streamer_id, limit=limit, cursor=cursor)
    return Call("GET", "/v1/judgements", reader_of(JudgementPage), params=params)


def page_of_events(limit: int, cursor: str | None, kinds: Sequence[str]) -> Call[EventPage]:
    """`GET /v1/events`."""
    params = params_of(limit=limit, cursor=cursor, kinds=",".join(kinds) or None)
    return Call("GET", "/v1/events", reader_of(EventPage), params=params)
