"""Answers of `/v1/audit`."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from service.http.schemas import Response


def _of_seconds(value: Any) -> Any:
    return datetime.fromtimestamp(value, UTC) if isinstance(value, int | float) else value


Time = Annotated[datetime, BeforeValidator(_of_seconds)]


EXAMPLE: dict[str, Any] = {
    "chain": "1795727240-4f1c2a9e",
    "n": 5,
    "kind": "request",
    "at": "2029-01-31T12:00:00Z",
    "key_id": "3f9c1a2b7d04",
    "method": "GET",
    "route": "/v1/streamers/{streamer_id}/similar",
    "status": 200,
    "ids": ["w0087"],
    "more_ids": 0,
    "results": 10,
    "request_id": "803f2699d72fc2de70b6b4fb47823d56",
    "scope": "search",
}


class AuditEntryOut(Response):
    """An entry; `kind` says of what.

    Kinds beside requests, jobs and commands have fields of their own, which docs/security.md lists.
    """

    model_config = ConfigDict(extra="allow")

    chain: Annotated[str, Field(description="The process that wrote it.")]
    n: Annotated[int, Field(description="Its line in the chain, from 1.")]
    at: Time
    kind: Literal[
        "request", "job", "command", "refused", "file", "begin", "end", "gap", "removed", "lost"
    ]
    key_id: Annotated[str | None, Field(description="Who; null: nobody who is known.")] = None
    method: str | None = None
    route: Annotated[str | None, Field(description="Template of the path.")] = None
    action: Annotated[
        str | None,
        Field(description="What method and route do not tell, such as erase; of a job, its kind."),
    ] = None
    job_id: Annotated[
        str | None, Field(description="The job that wrote or read these streamers.")
    ] = None
    scope: Annotated[str | None, Field(description="That the route needs.")] = None
    ids: Annotated[tuple[str, ...], Field(description="The first that it is about.")] = ()
    more_ids: Annotated[int, Field(description="How many more it is about.")] = 0
    results: Annotated[
        int | None, Field(description="Streamers in the answer, or written; null: not told.")
    ] = None
    status: Annotated[int | None, Field(description="0: no answer was begun.")] = None
    request_id: str | None = None
    client: Annotated[str | None, Field(description="Address of who was refused.")] = None


class AuditLineOut(AuditEntryOut):
    """A line of the files."""

    chain: Annotated[str | None, Field(description="Not in the files: their names have it.")] = None  # pyright: ignore[reportIncompatibleVariableOverride]
    at: Annotated[float, Field(description="Seconds since 1970, UTC.")]  # pyright: ignore[reportIncompatibleVariableOverride]


class AuditPage(Response):
    """Entries of this replica, chain by chain, in the order in which they were written."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"entries": [EXAMPLE], "next_cursor": "1795727240-4f1c2a9e:5"}]
        }
    )

    entries: list[AuditEntryOut]
    next_cursor: Annotated[
        str | None,
        Field(description="Null at the end. A page may be short, even empty, and have a next one."),
    ]
