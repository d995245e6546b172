"""Reads of streamers: one, its vector, and pages of all."""

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated

import numpy as np
from fastapi import Depends, Query, Response
from pydantic_core import to_json

from service.errors import (
    FieldError,
    NoSuchPath,
    NoVector,
    StreamerNotFound,
)
from service.features.find.cursors import find_cursor, find_place
from service.features.find.endpoints import CurrentFind
from service.features.find.schemas import MOST_CHARS
from service.features.streamers.schemas import (
    EmbeddingOut,
    StreamerOut,
    StreamerPage,
)
from service.features.streamers.service import Streamers
from service.http.auth.audit import CurrentAudit
from service.http.auth.rate_limits import CurrentCharges, hits_units
from service.http.auth.route_scopes import requires
from service.http.dependencies import CheckedRouter, CurrentLanes, StreamerIdPath, service_named
from service.http.documents import INDEX, STORE, responses
from service.http.headers.cursors import cursor_of, place_of
from service.http.json_bodies import written
from service.http.openapi import ALL_TEAMS
from service.http.schemas import AfterSequence
from service.store.base import Record, StoredProfile

router = CheckedRouter(prefix="/v1", tags=[ALL_TEAMS])
_LISTING = "streamers"
CurrentStreamers = Annotated[Streamers, Depends(service_named("streamers", Streamers))]
_VECTOR = b'"vector":'
"""In the JSON of a profile that has ready-made vectors; elsewhere it would be escaped."""


@contextmanager
def named_by_path() -> Generator[None, None, None]:
    """A streamer that is not stored is named by the path's parameter."""
    try:
        yield
    except StreamerNotFound as error:
        field = FieldError("", error.detail, parameter="streamer_id")
        raise StreamerNotFound(error.detail, [field]) from error


def _streamer(record: Record | StoredProfile, matched: str | None = None) -> bytes:
    """A `StreamerOut`, whose profile is JSON already: it may be large, and is not parsed."""
    fields = {
        "streamer_id": record.streamer_id,
        "version": record.version,
        "status": record.status,
        "modalities": json.loads(record.modalities),
        "model_version": record.model_version,
        "updated_at": record.updated_at,
    }
    if matched is not None:
        fields["matched"] = matched
    return b'%b,"profile":%b}' % (to_json(fields)[:-1], record.profile)


@router.get(
    "/streamers",
    operation_id="list_streamers",
    summary="List streamers, or find them by name, in pages",
    dependencies=[requires("streamers:read")],
    response_model=StreamerPage,
    responses=responses(*STORE, *INDEX),
)
async def list_streamers(
    streamers: CurrentStreamers,
    find: CurrentFind,
    lanes: CurrentLanes,
    charges: CurrentCharges,
    audit: CurrentAudit,
    q: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=MOST_CHARS,
            description="Only streamers with this in their nickname, tags or bio, or with this id; "
            "two characters or more. The best come first, see POST /v1/streamers:find.",
        ),
    ] = None,
    cursor: Annotated[
        str | None, Query(max_length=256, description="next_cursor of the previous page.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most streamers on a page.")] = 100,
    after_sequence: Annotated[AfterSequence, Query()] = 0,
) -> Response:
    """In byte order of the ids; streamers written meanwhile may or may not be listed.

    A page of long profiles has fewer than `limit`; it is the last when `next_cursor` is null. With
    `q`, what was written with `after_sequence` is found; without `q` everything that is stored is
    listed anyway.
    """
    if q is not None:
        place = find_place(cursor, q)
        charges.reach("streamers:read", hits_units(limit))
        found = await find.hits(q, place, limit, after_sequence=after_sequence, parameter=True)
        profiles = await streamers.some([hit.streamer_id for hit in found.hits])
        shown = [(p, h.matched) for p, h in zip(profiles, found.hits, strict=False) if p]
        after = found.hits[len(profiles) - 1].place if len(profiles) < len(found.hits) else None
        because = found.incomplete_because
        rest = {"complete": because is None, "incomplete_because": because}
        return await _page(audit, lanes, shown, find_cursor(after or found.after, q), rest)
    after = place_of(cursor, _LISTING)
    charges.reach("streamers:read", hits_units(limit))
    page = await streamers.page(after, limit)
    following = cursor_of(page.next_after, _LISTING)
    shown = [(profile, None) for profile in page.profiles]
    return await _page(audit, lanes, shown, following, {})


async def _page(
    audit: CurrentAudit,
    lanes: CurrentLanes,
    shown: Sequence[tuple[StoredProfile, str | None]],
    cursor: str | None,
    rest: Mapping[str, object],
) -> Response:
    """A `StreamerPage` of profiles and how each was found, with its other fields."""
    ids = [profile.streamer_id for profile, _ in shown]
    has_vectors = any(_VECTOR in profile.profile for profile, _ in shown)
    audit.about(ids, len(ids), has_vectors=has_vectors)
    fields = to_json({"next_cursor": cursor, **rest})

    def page() -> bytes:
        return b'{"streamers":[%b],%b' % (b",".join(_streamer(*each) for each in shown), fields[1:])

    return Response(await written(page, len(shown), lanes), media_type="application/json")


@router.get(
    "/streamers/{streamer_id}/embedding",
    operation_id="get_embedding",
    summary="Get the vector of a streamer",
    dependencies=[requires("embeddings:read")],
    responses=responses(*STORE, NoSuchPath, StreamerNotFound, NoVector),
)
async def get_embedding(
    streamers: CurrentStreamers, audit: CurrentAudit, streamer_id: StreamerIdPath
) -> EmbeddingOut:
    """A vector describes a person's activity: it is personal data."""
    with named_by_path():
        record = await streamers.get(streamer_id)
    if not record.embedding:
        raise NoVector(f"streamer {streamer_id!r} shows nothing that the model can use")
    audit.about(results=1)
    return EmbeddingOut(
        streamer_id=streamer_id,
        version=record.version,
        model_version=record.model_version,
        embedding=np.frombuffer(record.embedding, "<f4").tolist(),
    )


@router.get(
    "/streamers/{streamer_id}",
    operation_id="get_streamer",
    summary="Get a streamer",
    dependencies=[requires("streamers:read")],
    response_model=StreamerOut,
    responses=responses(*STORE, NoSuchPath, StreamerNotFound),
)
async def get_streamer(
    streamers: CurrentStreamers, audit: CurrentAudit, streamer_id: StreamerIdPath
) -> Response:
    """The profile as written, and its status; the ETag header has its version."""
    with named_by_path():
        record = await streamers.get(streamer_id)
    audit.about(results=1, has_vectors=_VECTOR in record.profile)
    return Response(
        _streamer(record),
        headers={"ETag": f'"{record.version}"'},
        media_type="application/json",
    )
