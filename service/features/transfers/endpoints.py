"""`/v1/jobs/imports` and `/v1/jobs/exports`: many streamers in and out, as jobs."""

import hashlib
import re
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from pydantic import ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from model_export.contract.streamer import StreamerProfile
from service.errors import (
    BodyTooLarge,
    IdempotencyKeyReused,
    JobNotFound,
    JobStateConflict,
    MalformedBody,
    MalformedRequest,
    NoSuchPath,
    RangeNotSatisfiable,
    ResultNotHere,
    SpoolFull,
    TooManyJobs,
    UnsupportedMediaType,
)
from service.features.jobs.accepting import ACCEPTED, accepted
from service.features.jobs.endpoints import JobIdPath
from service.features.jobs.schemas import JobOut
from service.features.transfers.schemas import PROFILES, ImportIn, StreamerExportIn
from service.features.transfers.service import Transfers
from service.http.auth.audit import CurrentAudit
from service.http.auth.callers import CurrentCaller, parts_while, still_allowed
from service.http.auth.rate_limits import ALL_UNITS, CurrentCharges
from service.http.auth.route_scopes import requires
from service.http.dependencies import CheckedRouter, service_named
from service.http.documents import BODY, MEDIA_TYPE, STORE, cut, problem_of, responses
from service.http.headers.idempotency import OnceByKey, UploadByKey
from service.http.headers.prefer import PrefersAsync
from service.http.json_bodies import JsonRoute
from service.http.ndjson import (
    IMPORTS_PATH,
    NDJSON,
    PARQUET,
    NdjsonResponse,
    documented_lines,
    line_of,
)
from service.http.openapi import RUNNING_IT
from service.http.problems import Checked, invalid

router = CheckedRouter(route_class=JsonRoute, prefix="/v1", tags=[RUNNING_IT])
CurrentTransfers = Annotated[Transfers, Depends(service_named("transfers", Transfers))]
_PART = r"(?:\d{1,18}-\d{0,18}|-\d{1,18})"
_RANGE = re.compile(rf"bytes\s*=\s*{_PART}(?:\s*,\s*{_PART})*\s*", re.IGNORECASE)
_SHOWN_CHARS = 100
_MOST_JSON_BYTES = 16 << 10
"""A path has at most 1,024 characters."""
_KEYS = (IdempotencyKeyReused,)
_FORMATS = {
    "ndjson": (NDJSON, "jsonl"),
    "json": ("application/json", "json"),
    "csv": ("text/csv; charset=utf-8", "csv"),
    "xlsx": ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
}
"""Media types and endings of files, by format."""
_OF_LISTS: dict[str, Any] = {
    "application/json": {"schema": {"$ref": "#/components/schemas/ListAnswerOut"}},
    "text/csv": {
        "schema": {"type": "string"},
        "example": "rank,streamer_id,name,score\r\n1,w2522,Cat tree radio,0.96\r\n",
    },
    _FORMATS["xlsx"][0]: {
        "schema": {"type": "string", "format": "binary"},
        "example": "PK: the bytes of a workbook",
    },
}
_FILE = documented_lines(
    StreamerProfile,
    "NDJSON: one profile per line, or of another job what it made; a list is in the format that "
    "was asked for.",
    PROFILES,
)
_FILE[200]["content"] |= _OF_LISTS
_FILE[206] = {
    "description": "The parts of the file that `Range` names; several as multipart/byteranges.",
    "headers": {
        "Content-Range": {
            "description": "Which bytes of how many, of one part.",
            "schema": {"type": "string"},
        }
    },
    "content": {
        "*/*": {"schema": {"type": "string", "format": "binary"}, "example": "bytes of the file"}
    },
}


@router.post(
    IMPORTS_PATH.removeprefix("/v1"),
    operation_id="import_streamers",
    status_code=202,
    dependencies=[requires("streamers:write")],
    summary="Import many streamers (NDJSON, Parquet, or a file by its path)",
    responses={**responses(*BODY, *STORE, *_KEYS, TooManyJobs, SpoolFull), 202: ACCEPTED},
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "Profiles, one per line, or as rows of Parquet; or as JSON the path of "
            "a file with them.",
            "content": {
                NDJSON: {
                    "schema": {"$ref": "#/components/schemas/StreamerProfile"},
                    "examples": {"two lines": {"value": b"".join(map(line_of, PROFILES)).decode()}},
                },
                PARQUET: {"schema": {"type": "string", "format": "binary"}},
                "application/json": {"schema": ImportIn.model_json_schema()},
            },
        }
    },
)
async def import_streamers(
    transfers: CurrentTransfers,
    charges: CurrentCharges,
    caller: CurrentCaller,
    audit: CurrentAudit,
    request: Request,
    response: Response,
    prefers_async: PrefersAsync,
    once: UploadByKey,
    encoded: Annotated[
        bool,
        Query(
            description="Of an upload: whether `python -m service encode` wrote the file. Profiles "
            "and vectors are taken as they are; needs the scope admin."
        ),
    ] = False,
) -> JobOut:
    """Takes lines like `:bulk`, and answers once they are on disk; writing them comes after that.

    Profiles that are stored like this already are left alone, so that an import can be repeated.
    The job's result has counts and the first twenty refused lines with their errors. A cancelled or
    failed import has written the lines before. With an Idempotency-Key, what is sent again gets the
    first job.
    """
    try:
        kind = _kind_of(request)
        if kind in (NDJSON, PARQUET):
            if encoded:
                caller.require("admin")
            charges.reach("streamers:write", ALL_UNITS)
            allowed = still_allowed(
                request, ["streamers:write", "admin"] if encoded else ["streamers:write"]
            )
            parts, parquet = parts_while(allowed, request), kind == PARQUET
            job = await transfers.receive(
                parts, caller.key, parquet=parquet, encoded=encoded, once=once
            )
            audit.about([job.job_id])
            return accepted(job, response, is_preferred=prefers_async)
        body = await request.body()
    except ClientDisconnect:
        raise MalformedBody("the client left before the body was complete") from None
    if len(body) > _MOST_JSON_BYTES:
        raise BodyTooLarge(
            f"JSON that names a file may have {_MOST_JSON_BYTES:,} bytes: send profiles as {NDJSON}"
        )
    try:
        asked = ImportIn.model_validate_json(body)
    except ValidationError as error:
        raise invalid(error) from error
    if asked.encoded:
        caller.require("admin")
    charges.reach("streamers:write", ALL_UNITS)
    named = once and once(hashlib.sha256(body).hexdigest())
    job = await transfers.import_file(asked.path, caller.key, named, encoded=asked.encoded)
    audit.about([job.job_id])
    return accepted(job, response, is_preferred=prefers_async)


def _kind_of(request: Request) -> str:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # The request guard lets anything pass with an empty body.
    if kind not in (NDJSON, PARQUET) and not kind.endswith("json"):
        raise UnsupportedMediaType(
            f"send lines as {NDJSON}, rows as {PARQUET}, or a path as application/json"
        )
    return kind


@router.post(
    "/jobs/exports",
    operation_id="export_streamers",
    status_code=202,
    dependencies=[requires("streamers:read")],
    summary="Export stored streamers (NDJSON)",
    responses={**responses(*BODY, *STORE, *_KEYS, TooManyJobs), 202: ACCEPTED},
)
async def export_streamers(
    transfers: CurrentTransfers,
    charges: CurrentCharges,
    caller: CurrentCaller,
    audit: CurrentAudit,
    body: Checked[StreamerExportIn],
    response: Response,
    prefers_async: PrefersAsync,
    once: OnceByKey,
) -> JobOut:
    """All profiles that the filter lets through, in byte order of their ids, to a file.

    Streamers written meanwhile may or may not be in it. Its lines are what an import takes.
    """
    charges.reach("streamers:read", ALL_UNITS)
    wanted = body.filter.model_dump(exclude_unset=True)
    job = await transfers.export(wanted, caller.key, once)
    audit.about([job.job_id])
    return accepted(job, response, is_preferred=prefers_async)


@router.head(
    "/jobs/{job_id:job}/result",
    dependencies=[requires("streamers:read")],
    include_in_schema=False,
)
@router.get(
    "/jobs/{job_id:job}/result",
    operation_id="get_job_result",
    dependencies=[requires("streamers:read")],
    summary="Download what an export, or a job that made a list, wrote",
    response_class=NdjsonResponse,
    responses=responses(
        *STORE,
        NoSuchPath,
        JobNotFound,
        JobStateConflict,
        ResultNotHere,
        MalformedRequest,
        RangeNotSatisfiable,
    )
    | _FILE,
)
async def get_result(
    transfers: CurrentTransfers,
    caller: CurrentCaller,
    audit: CurrentAudit,
    job_id: JobIdPath,
    request: Request,
) -> Response:
    """The file, which is kept for as long as the job; parts of it by `Range` in bytes.

    Exports are NDJSON; a list is in the format that was asked for. Who is similar, and lists, also
    need the scopes of their question: `search`, and `explain` for reasons.
    """
    path, form, scopes, streamers = await transfers.result(job_id)
    for scope in scopes:
        caller.require(scope)
    is_part = _asks_for_a_part(request)
    if is_part and (refused := _refused(request, path)) is not None:
        return refused
    if request.method == "GET":
        audit.about(results=streamers)  # whatever part: how many it holds is not known
    media_type, ending = _FORMATS[form]
    response = FileResponse if is_part else _WholeFile
    name = f"streamers-{job_id}.{ending}"
    # It has a date, by which a browser might keep it and show it to another key.
    headers = {"Cache-Control": "no-store"}
    return response(path, headers=headers, media_type=media_type, filename=name)


class _WholeFile(FileResponse):
    """A file, whatever `Range` says."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all of it."""
        headers = [(name, value) for name, value in scope["headers"] if name != b"range"]
        await super().__call__({**scope, "headers": headers}, receive, send)


def _asks_for_a_part(request: Request) -> bool:
    """Whether `Range` counts: that of another unit than bytes is to be ignored (RFC 9110, 14.2)."""
    unit, _, ranges = request.headers.get("range", "").partition("=")
    is_other = bool(ranges) and unit.strip().lower() != "bytes"
    return request.method == "GET" and not is_other


def _refused(request: Request, path: Path) -> Response | None:
    """The problem document for a part that the file does not have.

    What sends the file would refuse it in plain text.

    Raises:
        MalformedRequest: it is no range of bytes.
    """
    given = request.headers.get("range")
    if given is None or "if-range" in request.headers:
        return None
    shown, size = cut(given, _SHOWN_CHARS), path.stat().st_size
    is_range = _RANGE.fullmatch(given) is not None
    found: list[tuple[str, str]] = re.findall(r"(\d*)-(\d*)", given) if is_range else []
    # Without a begin, so many last bytes are meant.
    begins = [int(begin) if begin else size - min(int(end), size) for begin, end in found]
    bounds = [
        (first, int(end or size) if begin else size)
        for first, (begin, end) in zip(begins, found, strict=True)
    ]
    if not is_range or any(end < begin < size for begin, end in bounds):
        raise MalformedRequest(f"range must be as 'bytes=1000-' or 'bytes=0-999', not {shown!r}")
    if size and all(begin < size for begin, _ in bounds):
        return None
    error = RangeNotSatisfiable(f"the file has {size} bytes, and {shown!r} begins behind them")
    headers = {"Content-Range": f"bytes */{size}"}
    return JSONResponse(problem_of(error), error.status, headers, media_type=MEDIA_TYPE)
