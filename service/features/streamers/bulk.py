"""NDJSON in, NDJSON out: lines are cut, checked, written in chunks, and answered by number."""

from collections.abc import AsyncIterator
from typing import Any

from pydantic import ValidationError
from starlette.exceptions import HTTPException

from model_export.contract.streamer import StreamerProfile
from service.errors import BodyTooLarge, ServiceError
from service.features.streamers.write_pipeline import Acknowledged, Unchanged, WritePipeline
from service.http.documents import problem_of
from service.http.ndjson import line_of, lines_of
from service.http.problems import error_of_http, invalid
from service.settings import Limits

CHUNK_LINES = 64
"""Lines that are encoded and written together, in one script of the store."""
CHUNK_BYTES = 4 << 20
"""Long lines fill a chunk earlier: a chunk and all that is made of it are in memory."""


async def write_lines(
    writes: WritePipeline, limits: Limits, body: AsyncIterator[bytes], *, skip_unchanged: bool
) -> AsyncIterator[bytes]:
    """One result line for each line of the body; see `POST /v1/streamers:bulk`."""
    chunk: list[tuple[int, bytes]] = []
    number = size = 0
    refused: ServiceError | None = None  # why the rest is not read
    try:
        async for line in lines_of(body, limits.body_limit_bytes):
            number += 1
            if number > limits.bulk_lines:
                refused = BodyTooLarge(
                    f"a request may have {limits.bulk_lines} lines; send this line and the rest "
                    "in another one"
                )
                break
            chunk.append((number, line))
            size += len(line)
            if len(chunk) == CHUNK_LINES or size >= CHUNK_BYTES:
                async for result in _write_chunk(writes, limits, chunk, skip_unchanged):
                    yield result
                chunk, size = [], 0
    except HTTPException as error:  # the body is too large, or does not come
        number += 1
        refused = error_of_http(error)
    async for result in _write_chunk(writes, limits, chunk, skip_unchanged):
        yield result
    if refused is not None:
        yield _failed(number, refused)


async def _write_chunk(
    writes: WritePipeline, limits: Limits, chunk: list[tuple[int, bytes]], skip_unchanged: bool
) -> AsyncIterator[bytes]:
    """Result lines of a chunk, by number; blank lines have none."""
    answers: dict[int, bytes] = {}
    numbers: list[int] = []
    profiles: list[StreamerProfile] = []
    for number, line in chunk:
        if not line.strip():
            continue
        try:
            profiles.append(_read(limits, line))
            numbers.append(number)
        except ValidationError as error:
            answers[number] = _failed(number, invalid(error))
        except ServiceError as error:
            answers[number] = _failed(number, error)
    try:
        results = await writes.write_many(profiles, skip_unchanged=skip_unchanged)
        for number, profile, result in zip(numbers, profiles, results, strict=True):
            if isinstance(result, ServiceError):  # this one was not acknowledged
                answers[number] = _failed(number, result, profile.streamer_id)
            else:
                answers[number] = line_of(_result(number, result))
    except ServiceError as error:  # none of them was acknowledged
        for number, profile in zip(numbers, profiles, strict=True):
            answers[number] = _failed(number, error, profile.streamer_id)
    for number in sorted(answers):
        yield answers[number]


def _read(limits: Limits, line: bytes) -> StreamerProfile:
    if len(line) > limits.body_limit_bytes:
        raise BodyTooLarge(f"a line may have {limits.body_limit_bytes} bytes")
    return StreamerProfile.model_validate_json(line)


def _result(number: int, result: Acknowledged | Unchanged) -> dict[str, Any]:
    if isinstance(result, Unchanged):
        return {
            "line": number,
            "streamer_id": result.streamer_id,
            "outcome": "unchanged",
            "version": result.version,
        }
    return {
        "line": number,
        "streamer_id": result.record.streamer_id,
        "outcome": "created" if result.created else "updated",
        "version": result.sequence,
        "sequence": result.sequence,
        "status": result.record.status,
    }


def _failed(number: int, error: ServiceError, streamer_id: str | None = None) -> bytes:
    known = {} if streamer_id is None else {"streamer_id": streamer_id}
    return line_of({"line": number, **known, "outcome": "error", "error": problem_of(error)})
