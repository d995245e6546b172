"""Writes of streamers: profiles are encoded on write."""

import json
from typing import Annotated, Any

from fastapi import Body, Depends, Query, Request, Response
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from model_export.contract.streamer import MOST_FIELDS
from service.errors import (
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    InvalidRequest,
    MalformedBody,
    NoSuchPath,
    SpoolFull,
    StreamerNotFound,
    TooManyJobs,
    VersionConflict,
    WriteContended,
)
from service.features.jobs.accepting import DEFERRED, CurrentLongRequests, deferred
from service.features.streamers import bulk
from service.features.streamers.erasure import Erasure
from service.features.streamers.outcomes import Acknowledged
from service.features.streamers.reads import CurrentStreamers, named_by_path
from service.features.streamers.schemas import (
    BULK_ANSWER,
    BulkLineOut,
    DeletedOut,
    ErasedOut,
    NearDuplicateOut,
    StreamerBody,
    WrittenOut,
)
from service.features.streamers.write_pipeline import WritePipeline
from service.http.auth.audit import CurrentAudit
from service.http.auth.callers import CurrentCaller, parts_while, still_allowed
from service.http.auth.rate_limits import ALL_UNITS, CurrentCharges
from service.http.auth.route_scopes import requires
from service.http.dependencies import (
    CheckedRouter,
    CurrentLanes,
    CurrentLimits,
    StreamerIdPath,
    service_named,
    streamer_id_path,
)
from service.http.documents import BODY, MEDIA, WRITE, responses
from service.http.headers.etag import ExpectedVersions
from service.http.headers.idempotency import REPLAYED, OnceByKey
from service.http.headers.prefer import PrefersAsync
from service.http.json_bodies import JsonRoute
from service.http.ndjson import NDJSON, DuplexNdjsonResponse, documented_lines
from service.http.openapi import ALL_TEAMS
from service.http.problems import Checked, invalid
from service.http.schemas import with_nulls
from service.store.base import ANY_STORED, DoneBefore

router = CheckedRouter(route_class=JsonRoute, prefix="/v1", tags=[ALL_TEAMS])
CurrentErasure = Annotated[Erasure, Depends(service_named("erasure", Erasure))]
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
    audit: CurrentAudit,
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
            audit.about(results=1)
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
    audit: CurrentAudit,
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
            with named_by_path():
                done = await writes.patch(streamer_id, changes, expected, once)
                audit.about(results=1)
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
    summary="Delete a streamer, or erase it",
    dependencies=[requires("streamers:write")],
    responses={
        **responses(*WRITE, *_KEYS, NoSuchPath, StreamerNotFound, VersionConflict),
        200: {"headers": _REPLAYED, "description": "The streamer is no longer stored."},
    },
)
async def delete_streamer(
    writes: CurrentWrites,
    erasure: CurrentErasure,
    audit: CurrentAudit,
    streamer_id: Annotated[str, streamer_id_path("w4999")],
    expected: ExpectedVersion,
    once: OnceByKey,
    response: Response,
    erase: Annotated[
        bool,
        Query(
            description="Remove its vectors from the store's log and this replica's saved index "
            "too, have the store rewrite its file, and tell what persists where. Also of a "
            "streamer that was deleted before. An erasure may be repeated: Idempotency-Key does "
            "not count."
        ),
    ] = False,
) -> DeletedOut | ErasedOut:
    """The delete is on disk when the answer comes, and nothing returns the streamer any more.

    Without `erase` the store's append-only log keeps the old bytes until the store rewrites it.
    """
    if erase:
        audit.about(action="erase")
        erased = await erasure.erase(streamer_id, expected)
        audit.about(results=0 if erased.sequence is None else 1)
        return ErasedOut.model_validate(erased)
    try:
        async with writes.repeats.caught(once):
            with named_by_path():
                sequence = await writes.delete(streamer_id, expected, once)
                audit.about(results=1)
    except DoneBefore as before:
        response.headers[REPLAYED] = "true"
        sequence = before.outcome.sequence
        await writes.show(sequence)
    return DeletedOut(streamer_id=streamer_id, sequence=sequence)


@router.post(
    "/streamers:bulk",
    operation_id="write_streamers",
    summary="Write many streamers (NDJSON)",
    dependencies=[requires("streamers:write")],
    response_class=DuplexNdjsonResponse,
    responses=responses(*BODY, *WRITE, TooManyJobs, SpoolFull)
    | DEFERRED
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
    audit: CurrentAudit,
    limits: CurrentLimits,
    lanes: CurrentLanes,
    later: CurrentLongRequests,
    caller: CurrentCaller,
    request: Request,
    prefers_async: PrefersAsync,
    skip_unchanged: Annotated[
        bool, Query(description="Skip profiles that are stored like this already.")
    ] = False,
    near_duplicates: Annotated[
        bool,
        Query(
            description="Find the near-duplicates of each written line, which takes several times "
            "as long."
        ),
    ] = False,
) -> Response:
    """One profile per line; one result per line, in order. A bad line does not stop the others.

    With `Prefer: respond-async` the lines are imported by a job (see `POST /v1/jobs/imports`).
    """
    charges.reach("streamers:write", ALL_UNITS)
    allowed = still_allowed(request, ["streamers:write"])
    if prefers_async:
        try:
            parts = parts_while(allowed, request)
            job = await later.receive(parts, caller.key, skip_unchanged=skip_unchanged)
            audit.about([job.job_id])
            return deferred(job)
        except ClientDisconnect:
            raise MalformedBody("the client left before the body was complete") from None
    results = bulk.write_lines(
        writes,
        limits,
        lanes,
        request.stream(),
        allowed=allowed,
        skip_unchanged=skip_unchanged,
        near_duplicates=near_duplicates,
        note=lambda ids: audit.about(ids, len(ids)),
    )
    return DuplexNdjsonResponse(results)
