"""`/v1/streamers`: encode on write, read back."""

import base64
import binascii
import json
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Body, Depends, Query, Request, Response
from pydantic import ValidationError

from service.errors import FieldError, InvalidRequest, StreamerNotFound
from service.features.streamers import bulk
from service.features.streamers.schemas import (
    DeletedOut,
    EmbeddingOut,
    NearDuplicateOut,
    StreamerBody,
    StreamerOut,
    StreamerPage,
    WrittenOut,
)
from service.features.streamers.service import Streamers
from service.features.streamers.write_pipeline import Acknowledged, WritePipeline
from service.http import problems
from service.http.dependencies import CurrentLimits, StreamerIdPath, service_named
from service.http.etag import ExpectedVersion
from service.http.ndjson import NdjsonResponse
from service.store.base import Record, StoredProfile

router = APIRouter(prefix="/v1", tags=["streamers"])
CurrentStreamers = Annotated[Streamers, Depends(service_named("streamers", Streamers))]
CurrentWrites = Annotated[WritePipeline, Depends(service_named("writes", WritePipeline))]


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
        near_duplicates=None
        if near is None
        else [NearDuplicateOut.model_validate(n) for n in near],
        near_duplicates_unavailable_because=then.unavailable_because,
    )


def _streamer(record: Record | StoredProfile) -> StreamerOut:
    return StreamerOut(
        streamer_id=record.streamer_id,
        version=record.version,
        status=record.status,
        modalities=json.loads(record.modalities),
        model_version=record.model_version,
        updated_at=record.updated_at,
        profile=json.loads(record.profile),
    )


@router.put("/streamers/{streamer_id}", summary="Write a streamer; encoded and on disk")
async def put_streamer(
    writes: CurrentWrites,
    streamer_id: StreamerIdPath,
    body: StreamerBody,
    expected: ExpectedVersion,
    response: Response,
) -> WrittenOut:
    """The answer comes when the record is on disk, and questions to this process see it.

    `after_sequence` makes sure of that, and for other processes on the same store too.
    """
    if body.streamer_id not in (None, streamer_id):
        raise InvalidRequest.of("/streamer_id", f"is not the {streamer_id!r} of the address")
    done = await writes.put(body.profile(streamer_id), expected)
    response.status_code = 201 if done.created else 200
    response.headers["ETag"] = f'"{done.sequence}"'
    return await _written(writes, done)


@router.patch("/streamers/{streamer_id}", summary="Change parts (JSON merge patch)")
async def patch_streamer(
    writes: CurrentWrites,
    streamer_id: StreamerIdPath,
    changes: Annotated[dict[str, Any], Body(examples=[{"bio": "new bio", "category": None}])],
    expected: ExpectedVersion,
    response: Response,
) -> WrittenOut:
    """Null removes a field, an object is merged, a list is replaced as a whole (RFC 7396)."""
    if changes.get("streamer_id", streamer_id) != streamer_id:
        raise InvalidRequest.of("/streamer_id", "can't be changed")
    try:
        done = await writes.patch(streamer_id, changes, expected)
    except ValidationError as error:
        errors = problems.field_errors(error.errors())
        raise InvalidRequest(problems.summary(errors), errors) from error
    response.headers["ETag"] = f'"{done.sequence}"'
    return await _written(writes, done)


@router.delete("/streamers/{streamer_id}", summary="Remove a streamer")
async def delete_streamer(
    writes: CurrentWrites, streamer_id: StreamerIdPath, expected: ExpectedVersion
) -> DeletedOut:
    """On disk when answered; the vector and the profile are gone, from answers too."""
    sequence = await writes.delete(streamer_id, expected)
    return DeletedOut(streamer_id=streamer_id, sequence=sequence)


@router.get("/streamers", summary="All streamers, page by page")
async def list_streamers(
    streamers: CurrentStreamers,
    cursor: Annotated[str | None, Query(description="next_cursor of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> StreamerPage:
    """In byte order of the ids; streamers written meanwhile may or may not be seen.

    A page of long profiles has fewer than `limit`; it is the last when `next_cursor` is null.
    """
    page = await streamers.page(_after(cursor), limit)
    last = page.next_after
    return StreamerPage(
        streamers=[_streamer(profile) for profile in page.profiles],
        next_cursor=None if last is None else base64.urlsafe_b64encode(last.encode()).decode(),
    )


def _after(cursor: str | None) -> str:
    if cursor is None:
        return ""
    try:
        return base64.b64decode(cursor.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        detail = "is not a cursor that this service gave"
        raise InvalidRequest(
            f"cursor {detail}", [FieldError("", detail, parameter="cursor")]
        ) from None


@router.get("/streamers/{streamer_id}/embedding", summary="The vector of a streamer")
async def get_embedding(streamers: CurrentStreamers, streamer_id: StreamerIdPath) -> EmbeddingOut:
    """A vector describes a person's activity: it is personal data."""
    record = await streamers.get(streamer_id)
    if not record.embedding:
        raise StreamerNotFound(
            f"streamer {streamer_id!r} has no vector: it shows nothing that the model can use"
        )
    return EmbeddingOut(
        streamer_id=streamer_id,
        version=record.version,
        model_version=record.model_version,
        embedding=np.frombuffer(record.embedding, "<f4").tolist(),
    )


@router.post(
    "/streamers:bulk",
    summary="Write many streamers: NDJSON in, NDJSON out",
    response_class=NdjsonResponse,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
        }
    },
)
async def bulk_write(
    writes: CurrentWrites,
    limits: CurrentLimits,
    request: Request,
    skip_unchanged: Annotated[
        bool, Query(description="Do not encode a profile again that is stored like this already.")
    ] = False,
) -> NdjsonResponse:
    """One profile a line; one result a line, in order, by line number. A bad line stops nothing."""
    results = bulk.write_lines(writes, limits, request.stream(), skip_unchanged=skip_unchanged)
    return NdjsonResponse(results)


@router.get("/streamers/{streamer_id}", summary="What is stored of a streamer")
async def get_streamer(
    streamers: CurrentStreamers, streamer_id: StreamerIdPath, response: Response
) -> StreamerOut:
    """The profile as it was written, and what the model made of it."""
    record = await streamers.get(streamer_id)
    response.headers["ETag"] = f'"{record.version}"'
    return _streamer(record)
