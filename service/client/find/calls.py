"""Requests of finding streamers by name, of facet counts and of ratings."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import to_json

from service.client.calls import Call, params_of, reader_of
from service.client.lines import fields_of
from service.client.models import (
    FacetsOut,
    FilterIn,
    FindOut,
    MineOut,
    RatedOut,
    RatingIn,
    RatingOut,
    RatingPage,
)

Filter = FilterIn | Mapping[str, Any] | None
_JSON = {"Content-Type": "application/json"}


def find(
    q: str, wanted: Filter, limit: int, cursor: str | None, after_sequence: int
) -> Call[FindOut]:
    """`POST /v1/streamers:find`."""
    fields = {"q": q, "limit": limit, "cursor": cursor, "after_sequence": after_sequence}
    content = to_json(fields | _filter(wanted))
    return Call("POST", "/v1/streamers:find", reader_of(FindOut), content=content, headers=_JSON)


def facets(
    fields: Sequence[str] | None, wanted: Filter, most: int, after_sequence: int
) -> Call[FacetsOut]:
    """`POST /v1/streamers:facets`."""
    given: dict[str, Any] = {"most": most, "after_sequence": after_sequence}
    if fields is not None:
        given["fields"] = list(fields)
    content = to_json(given | _filter(wanted))
    return Call(
        "POST", "/v1/streamers:facets", reader_of(FacetsOut), content=content, headers=_JSON
    )


def rate(rating: RatingIn | Mapping[str, Any]) -> Call[RatedOut]:
    """`PUT /v1/ratings`."""
    content = to_json(fields_of(rating))
    return Call("PUT", "/v1/ratings", reader_of(RatedOut), content=content, headers=_JSON)


def take_rating_back(question_id: str, streamer_id: str) -> Call[RatingOut]:
    """`DELETE /v1/ratings`; sent again, it would be told that there is no rating."""
    params = params_of(question_id=question_id, streamer_id=streamer_id)
    read = reader_of(RatingOut)
    return Call("DELETE", "/v1/ratings", read, params=params, is_repeatable=False)


def my_ratings(question: Mapping[str, Any], streamer_ids: Sequence[str]) -> Call[MineOut]:
    """`POST /v1/ratings:mine`."""
    content = to_json({"question": question, "streamer_ids": list(streamer_ids)})
    return Call("POST", "/v1/ratings:mine", reader_of(MineOut), content=content, headers=_JSON)


def page_of_ratings(question_id: str | None, limit: int, cursor: str | None) -> Call[RatingPage]:
    """`GET /v1/ratings`."""
    params = params_of(question_id=question_id, limit=limit, cursor=cursor)
    return Call("GET", "/v1/ratings", reader_of(RatingPage), params=params)


def _filter(wanted: Filter) -> dict[str, Any]:
    return {} if wanted is None else {"filter": fields_of(wanted)}
