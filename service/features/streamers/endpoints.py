"""`/v1/streamers`: profiles are encoded on write and read back."""

import base64
import binascii
import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Body, Depends, Query, Request, Response
from pydantic import ValidationError
from pydantic_core import to_json

from model_export.contract.streamer import MOST_FIELDS
from service.engine.work.lanes import Lanes
from service.errors import (
    FieldError,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    InvalidRequest,
    NoSuchPath,
    NoVector,
    StreamerNotFound,
    VersionConflict,
    WriteContended,
)
from service.features.streamers import bulk
from service.features.streamers.outcomes import Acknowledged
from service.features.streamers.schemas import (
    BULK_ANSWER,
    BulkLineOut,
    DeletedOut,
    EmbeddingOut,
    NearDuplicateOut,
    StreamerBody,
    StreamerOut,
    StreamerPage,
    WrittenOut,
)
from service.features.streamers.service import Streamers
from service.features.streamers.write_pipeline import WritePipeline
from service.http.auth.rate_limits import ALL_UNITS, CurrentCharges, hits_units
from service.http.auth.route_scopes import requires
from service.http.dependencies import (
    CurrentLimits,
    StreamerIdPath,
    service_named,
    streamer_id_path,
)
from service.http.documents import BODY, MEDIA, STORE, WRITE, responses
from service.http.headers.etag import ExpectedVersions
from service.http.headers.idempotency import REPLAYED, OnceByKey
from service.http.json_bodies import JsonRoute
from service.http.ndjson import NDJSON, DuplexNdjsonResponse, documented_lines
from service.http.openapi import ALL_TEAMS
from service.http.problems import Checked, invalid
from service.http.schemas import with_nulls
from service.store.base import ANY_STORED, DoneBefore, Record, StoredProfile

router = APIRouter(route_class=JsonRoute, prefix="/v1", tags=[ALL_TEAMS])
CurrentStreamers = Annotated[Streamers, Depends(service_named("streamers", Streamers))]
CurrentLanes = Annotated[Lanes, Depends(service_named("lanes", Lanes))]
CurrentWrites = Annotated[WritePipeline, Depends(service_named("writes", WritePipeline))]


async def expected_version(
    streamers: CurrentStreamers, request: Request, versions: ExpectedVersions
) -> int | None:
    """The version that the store must find; of several, the one that is stored now."""
    if len(versions) < 2:
        return versions[0] if versions else None
    try:
        current = (await streamers.get(request.path_params["streamer_id"])).version
    except StreamerNotFound:
        current = 0
    return current if current in versions else versions[0]


ExpectedVersion = Annotated[int | None, Depends(expected_version)]

_KEYS = (IdempotencyKeyInUse, IdempotencyKeyReused)
_REPLAYED: dict[str, Any] = {
    REPLAYED: {
        "description": "true: an earlier request with this Idempotency-Key did the write.",
        "schema": {"const": "true"},
    }
}
_HEADERS = _REPLAYED | {
    "ETag": {"description": "The version; send it as If-Match.", "schema": {"type": "string"}}
}
_CHANGES: dict[str, Any] = {
    "additionalProperties": False,
    "properties": {
        name: {"description": "Its new value (see StreamerBody), or null to remove it."}
        for name in StreamerBody.model_fields
    },
    "examples": [with_nulls({"bio": "new bio", "category": None})],
}


@contextmanager
def _named_by_path() -> Generator[None, None, None]:
    """A streamer that is not stored is named by the path's parameter."""
    try:
        yield
    except StreamerNotFound as error:
        field = FieldError("", error.detail, parameter="streamer_id")
        raise StreamerNotFound(error.detail, [field]) from error


async def _written(writes: WritePipeline, done: Acknowledged) -> WrittenOut:
    record, then = done.record, await writes.follow_up(done)
    near = then.near_duplicates
    return WrittenOut(
        streamer_id=record.streamer_id,
        version=done.sequence,
        sequence=done.sequence,
        created=done.created,
        model_version=record.model_version,
        status=record.status,
        modalities=json.loads(record.modalities),
        coverage=done.coverage,
        near_duplicates=None
        if near is None
        else [NearDuplicateOut.model_validate(n) for n in near],
        near_duplicates_unavailable_because=then.unavailable_because,
    )


async def _written_before(
    writes: WritePipeline, streamer_id: str, before: DoneBefore, response: Response
) -> WrittenOut:
    """The answer to an earlier request, of which near-duplicates are not kept."""
    response.headers[REPLAYED] = "true"
    await writes.show(before.outcome.sequence)
    return WrittenOut(
        streamer_id=streamer_id,
        version=before.outcome.sequence,
        sequence=before.outcome.sequence,
        created=before.outcome.created,
        near_duplicates=None,
        near_duplicates_unavailable_because="an earlier request with this Idempotency-Key did the "
        "write, and they are not kept with its answer",
        **json.loads(before.answer),
    )


def _streamer(record: Record | StoredProfile) -> bytes:
    """A `StreamerOut`, whose profile is JSON already: it may be large, and is not parsed."""
    fields = {
        "streamer_id": record.streamer_id,
        "version": record.version,
        "status": record.status,
        "modalities": json.loads(record.modalities),
        "model_version": record.model_version,
        "updated_at": record.updated_at,
    }
    return b'%b,"profile":%b}' % (to_json(fields)[:-1], record.profile)


@router.put(
    "/streamers/{streamer_id}",
    operation_id="write_streamer",
    summary="Write a streamer",
    dependencies=[requires("streamers:write")],
    responses={
        **responses(*BODY, *WRITE, *MEDIA, *_KEYS, NoSuchPath, VersionConflict),
        200: {"headers": _HEADERS, "description": "The streamer was stored before."},
        201: {"model": WrittenOut, "headers": _HEADERS, "description": "The streamer is new."},
    },
)
async def put_streamer(
    writes: CurrentWrites,
    streamer_id: Annotated[str, streamer_id_path("night-kitchen")],
    body: Checked[StreamerBody],
    expected: ExpectedVersion,
    once: OnceByKey,
    response: Response,
) -> WrittenOut:
    """Encodes the profile and replaces what is stored; it is on disk when the answer comes.

    Questions to this process then see it; with `after_sequence` those to other processes on the
    same store do too.
    """
    if body.streamer_id not in (None, streamer_id):
        raise InvalidRequest.of("/streamer_id", f"is not the {streamer_id!r} of the path")
    try:
        async with writes.repeats.caught(once):
            done = await writes.put(body.profile(streamer_id), expected, once)
            written = await _written(writes, done)
    except DoneBefore as before:
        written = await _written_before(writes, streamer_id, before, response)
    response.status_code = 201 if written.created else 200
    response.headers["ETag"] = f'"{written.version}"'
    return written


@router.patch(
    "/streamers/{streamer_id}",
    operation_id="change_streamer",
    summary="Change parts of a streamer (JSON merge patch)",
    dependencies=[requires("streamers:write")],
    responses={
        **responses(
            *(*BODY, *WRITE, *MEDIA, *_KEYS),
            *(NoSuchPath, StreamerNotFound, WriteContended, VersionConflict),
        ),
        200: {"headers": _HEADERS, "description": "The streamer was changed."},
    },
)
async def patch_streamer(
    writes: CurrentWrites,
    streamer_id: StreamerIdPath,
    changes: Annotated[dict[str, Any], Body(max_length=MOST_FIELDS, json_schema_extra=_CHANGES)],
    expected: ExpectedVersion,
    once: OnceByKey,
    response: Response,
) -> WrittenOut:
    """Null removes a field, an object is merged, a list is replaced as a whole (RFC 7396)."""
    if changes.get("streamer_id", streamer_id) != streamer_id:
        raise InvalidRequest.of("/streamer_id", "cannot be changed")
    if expected == ANY_STORED:
        expected = None  # only what is stored can be patched
    try:
        async with writes.repeats.caught(once):
            with _named_by_path():
                done = await writes.patch(streamer_id, changes, expected, once)
            written = await _written(writes, done)
    except DoneBefore as before:
        written = await _written_before(writes, streamer_id, before, response)
    except ValidationError as error:
        raise invalid(error) from error
    response.headers["ETag"] = f'"{written.version}"'
    return written


@router.delete(
    "/streamers/{streamer_id}",
    operation_id="delete_streamer",
    summary="Delete a streamer",
    dependencies=[requires("streamers:write")],
    responses={
        **responses(*WRITE, *_KEYS, NoSuchPath, StreamerNotFound, VersionConflict),
        200: {"headers": _REPLAYED, "description": "The streamer is no longer stored."},
    },
)
async def delete_streamer(
    writes: CurrentWrites,
    streamer_id: Annotated[str, streamer_id_path("w4999")],
    expected: ExpectedVersion,
    once: OnceByKey,
    response: Response,
) -> DeletedOut:
    """The delete is on disk when the answer comes, and nothing returns the streamer any more.

    The store's append-only log keeps the old bytes until the store rewrites it.
    """
    try:
        async with writes.repeats.caught(once):
            with _named_by_path():
                sequence = await writes.delete(streamer_id, expected, once)
    except DoneBefore as before:
        response.headers[REPLAYED] = "true"
        sequence = before.outcome.sequence
        await writes.show(sequence)
    return DeletedOut(streamer_id=streamer_id, sequence=sequence)


@router.get(
    "/streamers",
    operation_id="list_streamers",
    summary="List streamers, in pages",
    dependencies=[requires("streamers:read")],
    response_model=StreamerPage,
    responses=responses(*STORE),
)
async def list_streamers(
    streamers: CurrentStreamers,
    charges: CurrentCharges,
    cursor: Annotated[
        str | None, Query(max_length=256, description="next_cursor of the previous page.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most streamers on a page.")] = 100,
) -> Response:
    """In byte order of the ids; streamers written meanwhile may or may not be listed.

    A page of long profiles has fewer than `limit`; it is the last when `next_cursor` is null.
    """
    after = _after(cursor)
    charges.reach("streamers:read", hits_units(limit))
    page = await streamers.page(after, limit)
    last = page.next_after
    cursor = None if last is None else base64.urlsafe_b64encode(last.encode()).decode()
    found = b",".join(map(_streamer, page.profiles))
    return Response(
        b'{"streamers":[%b],"next_cursor":%b}' % (found, to_json(cursor)),
        media_type="application/json",
    )


def _after(cursor: str | None) -> str:
    if cursor is None:
        return ""
    try:
        return base64.b64decode(cursor.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise InvalidRequest.of_parameter(
            "cursor", "is not a cursor that this service gave"
        ) from None


@router.get(
    "/streamers/{streamer_id}/embedding",
    operation_id="get_embedding",
    summary="Get the vector of a streamer",
    dependencies=[requires("embeddings:read")],
    responses=responses(*STORE, NoSuchPath, StreamerNotFound, NoVector),
)
async def get_embedding(streamers: CurrentStreamers, streamer_id: StreamerIdPath) -> EmbeddingOut:
    """A vector describes a person's activity: it is personal data."""
    with _named_by_path():
        record = await streamers.get(streamer_id)
    if not record.embedding:
        raise NoVector(f"streamer {streamer_id!r} shows nothing that the model can use")
    return EmbeddingOut(
        streamer_id=streamer_id,
        version=record.version,
        model_version=record.model_version,
        embedding=np.frombuffer(record.embedding, "<f4").tolist(),
    )


@router.post(
    "/streamers:bulk",
    operation_id="write_streamers",
    summary="Write many streamers (NDJSON)",
    dependencies=[requires("streamers:write")],
    response_class=DuplexNdjsonResponse,
    responses=responses(*BODY, *WRITE)
    | documented_lines(BulkLineOut, "NDJSON: one result per line of the request.", BULK_ANSWER),
    openapi_extra={
        "requestBody": {
            "description": "Profiles, one per line.",
            "content": {
                NDJSON: {
                    "schema": {"$ref": "#/components/schemas/StreamerProfile"},
                    "examples": {
                        "two lines": {
                            "value": '{"streamer_id":"s-1","bio":"handmade noodles"}\n'
                            '{"streamer_id":"s-2","bio":"guitar music for cats"}\n'
                        }
                    },
                }
            },
        }
    },
)
async def bulk_write(
    writes: CurrentWrites,
    charges: CurrentCharges,
    limits: CurrentLimits,
    lanes: CurrentLanes,
    request: Request,
    skip_unchanged: Annotated[
        bool, Query(description="Skip profiles that are stored like this already.")
    ] = False,
) -> DuplexNdjsonResponse:
    """One profile per line; one result per line, in order. A bad line does not stop the others."""
    charges.reach("streamers:write", ALL_UNITS)
    results = bulk.write_lines(
        writes, limits, lanes, request.stream(), skip_unchanged=skip_unchanged
    )
    return DuplexNdjsonResponse(results)


@router.get(
    "/streamers/{streamer_id}",
    operation_id="get_streamer",
    summary="Get a streamer",
    dependencies=[requires("streamers:read")],
    response_model=StreamerOut,
    responses=responses(*STORE, NoSuchPath, StreamerNotFound),
)
async def get_streamer(streamers: CurrentStreamers, streamer_id: StreamerIdPath) -> Response:
    """The profile as written, and its status; the ETag header has its version."""
    with _named_by_path():
        record = await streamers.get(streamer_id)
    return Response(
        _streamer(record),
        headers={"ETag": f'"{record.version}"'},
        media_type="application/json",
    )
