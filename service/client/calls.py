"""Requests of each call and how their answers are read; knows no connection."""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from pydantic_core import to_json

from service.client.errors import ClientError, UnexpectedAnswer, problem_error, refusal_of
from service.client.lines import NDJSON, Profile, fields_of, json_of
from service.client.models import (
    ColdStartIn,
    ColdStartLineOut,
    ColdStartOut,
    CompareOut,
    DedupClustersOut,
    DedupFeedOut,
    DedupIn,
    DeletedOut,
    EmbeddingOut,
    ExportIn,
    ExportLineOut,
    ExportSummaryOut,
    HealthOut,
    JobOut,
    JobPage,
    Problem,
    SimilarIn,
    SimilarOut,
    StreamerOut,
    StreamerPage,
    WrittenOut,
)
from service.client.patience import LastWrite

Answer = TypeVar("Answer")
Fields = Mapping[str, Any]
ExportLine = ExportLineOut | ExportSummaryOut
Parameter = str | int | float | bool | None
_JSON = {"Content-Type": "application/json"}
KEY = "Idempotency-Key"
_DEFERRED_BYTES = 64 << 10
"""Longer questions are answered at once, whatever is preferred."""
_ROUTE = "/v1/streamers/{streamer_id}"


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """A request, and what becomes of its answer.

    Attributes:
        method: of HTTP.
        path: below the address of the service.
        read: makes the answer of its body.
        params: of the query.
        content, file: the body, or the file with it, which is sent a part at a time.
        headers: beside those of the client.
        is_repeatable: whether carrying it out twice is as good as once.
        statuses: that are answers; all others are refusals.
    """

    method: str
    path: str
    read: Callable[[bytes], Answer]
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    content: bytes | None = None
    file: Path | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    is_repeatable: bool = True
    statuses: frozenset[int] = frozenset({200, 201})

    def answer(self, url: str, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        """The answer of a complete response.

        Raises:
            ClientError: the service refused, or something else answered.
        """
        if status not in self.statuses:
            raise refusal_of(url, status, headers, body)
        try:
            return self.read(body)
        except ValidationError as error:
            raise UnexpectedAnswer(url, status, body, error) from error


class _Parameter(BaseModel):
    name: str = ""


class _Operation(BaseModel):
    parameters: list[_Parameter] = []


class _Document(BaseModel):
    """The part of an OpenAPI document that tells which headers a route takes."""

    paths: dict[str, dict[str, _Operation]] = {}


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def reader_of(kind: type[Answer]) -> Callable[[bytes], Answer]:
    """What makes an answer of JSON."""
    return _adapter(kind).validate_json


def params_of(**given: Parameter) -> dict[str, str]:
    """Query parameters, without those that are None or False."""
    texts = {name: "true" if value is True else str(value) for name, value in given.items()}
    return {name: texts[name] for name, v in given.items() if v is not None and v is not False}


def _at(streamer_id: str, rest: str = "") -> str:
    return f"/v1/streamers/{quote(streamer_id, safe=':')}{rest}"


# Writes


def _precondition(if_version: int | None, only_new: bool = False) -> dict[str, str]:
    headers = {KEY: f'"{uuid.uuid4()}"'}
    if only_new:
        headers["If-None-Match"] = "*"
    if if_version is not None:
        headers["If-Match"] = f'"{if_version}"'
    return headers


def put(
    streamer_id: str, profile: Profile, if_version: int | None, only_new: bool
) -> Call[WrittenOut]:
    """`PUT /v1/streamers/{streamer_id}`."""
    return Call(
        "PUT",
        _at(streamer_id),
        reader_of(WrittenOut),
        content=json_of(profile),
        headers=_JSON | _precondition(if_version, only_new),
        is_repeatable=if_version is None and not only_new,
    )


def patch(streamer_id: str, changes: Profile, if_version: int | None) -> Call[WrittenOut]:
    """`PATCH /v1/streamers/{streamer_id}`."""
    return Call(
        "PATCH",
        _at(streamer_id),
        reader_of(WrittenOut),
        content=json_of(changes),
        headers=_JSON | _precondition(if_version),
        is_repeatable=False,
    )


def delete(streamer_id: str, if_version: int | None) -> Call[DeletedOut]:
    """`DELETE /v1/streamers/{streamer_id}`."""
    return Call(
        "DELETE",
        _at(streamer_id),
        reader_of(DeletedOut),
        headers=_precondition(if_version),
        is_repeatable=if_version is None,
    )


def bulk(lines: bytes) -> Call[bytes]:
    """`POST /v1/streamers:bulk`: skips what is stored like this; a repeat replaces newer ones."""
    return Call(
        "POST",
        "/v1/streamers:bulk",
        bytes,
        params={"skip_unchanged": "true"},
        content=lines,
        headers={"Content-Type": NDJSON},
    )


def keyed_methods() -> Call[frozenset[str]]:
    """Methods of writes for which the service documents `Idempotency-Key`, by its OpenAPI."""

    def read(body: bytes) -> frozenset[str]:
        operations = reader_of(_Document)(body).paths.get(_ROUTE, {})
        return frozenset(
            method.upper()
            for method, operation in operations.items()
            if any(parameter.name.lower() == KEY.lower() for parameter in operation.parameters)
        )

    return Call("GET", "/openapi.json", read)


# What is stored


def get(streamer_id: str) -> Call[StreamerOut]:
    """`GET /v1/streamers/{streamer_id}`."""
    return Call("GET", _at(streamer_id), reader_of(StreamerOut))


def embedding(streamer_id: str) -> Call[EmbeddingOut]:
    """`GET /v1/streamers/{streamer_id}/embedding`."""
    return Call("GET", _at(streamer_id, "/embedding"), reader_of(EmbeddingOut))


def page_of_streamers(limit: int, cursor: str | None) -> Call[StreamerPage]:
    """`GET /v1/streamers`."""
    params = params_of(limit=limit, cursor=cursor)
    return Call("GET", "/v1/streamers", reader_of(StreamerPage), params=params)


def health() -> Call[HealthOut]:
    """`GET /readyz`, whose answer comes with 503 too."""

    def read(body: bytes) -> HealthOut:
        state: dict[str, Any] = reader_of(dict[str, Any])(body)
        if state.get("status") in ("starting", "stopping"):  # nothing else is known then
            detail = f"the service is {state['status']}: {state.get('reason')}"
            title = "The service is not ready yet"
            raise problem_error(
                Problem(
                    type="/errors#not_ready",
                    title=title,
                    status=503,
                    code="not_ready",
                    detail=detail,
                ),
                1,
            )
        return reader_of(HealthOut)(body)

    return Call("GET", "/readyz", read, statuses=frozenset({200, 503}))


# Questions


def _asked(question: Profile, after_sequence: int) -> bytes:
    """A question's body; it waits for the client's last write, or for a later one."""
    fields = fields_of(question)
    given = fields.get("after_sequence", 0)
    if after_sequence and isinstance(given, int):
        fields["after_sequence"] = max(given, after_sequence)
    return to_json(fields)


def similar(
    streamer_id: str, k: int, after_sequence: int, **options: Parameter
) -> Call[SimilarOut]:
    """`GET /v1/streamers/{streamer_id}/similar`."""
    params = params_of(k=k, after_sequence=after_sequence or None, **options)
    return Call("GET", _at(streamer_id, "/similar"), reader_of(SimilarOut), params=params)


def search(question: SimilarIn | Fields, after_sequence: int) -> Call[SimilarOut]:
    """`POST /v1/similar`."""
    content = _asked(question, after_sequence)
    return Call("POST", "/v1/similar", reader_of(SimilarOut), content=content, headers=_JSON)


def next_page(cursor: str) -> Call[SimilarOut]:
    """`GET /v1/similar`."""
    return Call("GET", "/v1/similar", reader_of(SimilarOut), params={"cursor": cursor})


def export(question: ExportIn | Fields, after_sequence: int) -> Call[bytes]:
    """`POST /v1/similar/export`."""
    content = _asked(question, after_sequence)
    return Call("POST", "/v1/similar/export", bytes, content=content, headers=_JSON)


def cold_start(question: ColdStartIn | Fields, after_sequence: int) -> Call[ColdStartOut]:
    """`POST /v1/cold-start`."""
    content = _asked(question, after_sequence)
    return Call("POST", "/v1/cold-start", reader_of(ColdStartOut), content=content, headers=_JSON)


def cold_starts(
    questions: Iterable[ColdStartIn | Fields], last: LastWrite
) -> Call[list[ColdStartLineOut]]:
    """`POST /v1/cold-start:batch`."""
    content = b"\n".join(_asked(question, last.sequence) for question in questions)
    headers = {"Content-Type": NDJSON}

    def read(body: bytes) -> list[ColdStartLineOut]:
        lines = [reader_of(ColdStartLineOut)(line) for line in body.splitlines()]
        for line in lines:
            last.limit(line.problem and line.problem.store_sequence)
        return lines

    return Call("POST", "/v1/cold-start:batch", read, content=content, headers=headers)


def dedup(question: DedupIn | Fields, after_sequence: int) -> Call[DedupClustersOut | DedupFeedOut]:
    """`POST /v1/dedup`."""
    content = _asked(question, after_sequence)
    read = _adapter(Annotated[DedupClustersOut | DedupFeedOut, Field(discriminator="mode")])
    return Call("POST", "/v1/dedup", read.validate_json, content=content, headers=_JSON)


def compare(a: str | Profile, b: str | Profile, without: Sequence[str]) -> Call[CompareOut]:
    """`POST /v1/compare`."""
    content = to_json({"a": _side(a), "b": _side(b), "without": list(without)})
    return Call("POST", "/v1/compare", reader_of(CompareOut), content=content, headers=_JSON)


def _side(given: str | Profile) -> Fields:
    if isinstance(given, str):
        return {"streamer_id": given}
    return {"profile": {k: v for k, v in fields_of(given).items() if k != "streamer_id"}}


# Jobs


def _job(job_id: str, rest: str = "") -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}{rest}"


def job(job_id: str) -> Call[JobOut]:
    """`GET /v1/jobs/{job_id}`."""
    return Call("GET", _job(job_id), reader_of(JobOut))


def page_of_jobs(limit: int, cursor: str | None) -> Call[JobPage]:
    """`GET /v1/jobs`."""
    return Call("GET", "/v1/jobs", reader_of(JobPage), params=params_of(limit=limit, cursor=cursor))


def watch_job(job_id: str, last: str | None) -> Call[bytes]:
    """`GET /v1/jobs/{job_id}/events`, whose answer goes on."""
    headers = {} if last is None else {"Last-Event-ID": last}
    return Call("GET", _job(job_id, "/events"), bytes, headers=headers)


def change_job(job_id: str, action: str) -> Call[JobOut]:
    """`POST /v1/jobs/{job_id}:cancel` or `:retry`; a second retry is refused by its state."""
    path, is_repeatable = _job(job_id, f":{action}"), action == "cancel"
    return Call("POST", path, reader_of(JobOut), is_repeatable=is_repeatable)


def start_job(path: str, content: bytes, content_type: str) -> Call[JobOut]:
    """A route that queues a job: sent again with its key, it queues no other one."""
    headers = {KEY: f'"{uuid.uuid4()}"', "Content-Type": content_type}
    read, accepted = reader_of(JobOut), frozenset({202})
    return Call("POST", path, read, content=content, headers=headers, statuses=accepted)


def start_similar_export(question: ExportIn | Fields, after_sequence: int) -> Call[JobOut]:
    """`POST /v1/similar/export` as a job.

    Raises:
        ClientError: the service answers so long a question at once.
    """
    content = _asked(question, after_sequence)
    if len(content) > _DEFERRED_BYTES:
        raise ClientError("a question of more than 64 KiB can't be a job: use `export`")
    call = start_job("/v1/similar/export", content, _JSON["Content-Type"])
    return replace(call, headers={**call.headers, "Prefer": "respond-async"})


def export_line(url: str, text: bytes) -> ExportLine:
    """A line of an export of who is similar.

    Raises:
        UnexpectedAnswer: it is none.
    """
    kind = ExportLineOut if b'"streamer_id"' in text else ExportSummaryOut  # as errors name fields
    try:
        return reader_of(kind)(text)
    except ValidationError as error:
        raise UnexpectedAnswer(url, 200, text, error) from error


def export_body(wanted: Profile | None) -> bytes:
    """The body of an export of what a filter lets through."""
    return to_json({} if wanted is None else {"filter": fields_of(wanted)})


def job_result(job_id: str) -> Call[bytes]:
    """`GET /v1/jobs/{job_id}/result`."""
    return Call("GET", _job(job_id, "/result"), bytes)
