"""Answers of routes that queue a job: 202 with the job, and where it is."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import Annotated, Any

from fastapi import Depends, Response
from fastapi.responses import JSONResponse

from service.features.jobs.schemas import JobOut
from service.features.jobs.shown import job_out
from service.http.dependencies import service_named
from service.http.headers.prefer import APPLIED, RESPOND_ASYNC
from service.scopes import Scope
from service.store.jobs import Job
from service.store.once import Once

_APPLIED = {
    APPLIED: {
        "description": f"{RESPOND_ASYNC}, where the request preferred that.",
        "schema": {"const": RESPOND_ASYNC},
    }
}
ACCEPTED: dict[str, Any] = {
    "model": JobOut,
    "description": "The job is queued.",
    "headers": {
        "Location": {"description": "Of the job.", "schema": {"type": "string"}},
        **_APPLIED,
    },
}
"""Of a route that always queues a job."""
DEFERRED: dict[int | str, dict[str, Any]] = {
    202: {
        "description": f"With `Prefer: {RESPOND_ASYNC}`: the job is queued.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/JobOut"}}},
        "headers": ACCEPTED["headers"],
    }
}
"""Of a route that queues one where the caller prefers that."""


def accepted(job: Job, response: Response, *, is_preferred: bool = False) -> JobOut:
    """The job, for a route that always queues one; completes the headers."""
    response.headers["Location"] = f"/v1/jobs/{job.job_id}"
    if is_preferred:
        response.headers[APPLIED] = RESPOND_ASYNC
    return job_out(job)


def deferred(job: Job, *, is_preferred: bool = True) -> JSONResponse:
    """The answer in place of a longer one."""
    response = JSONResponse(job_out(job).model_dump(mode="json"), 202)
    accepted(job, response, is_preferred=is_preferred)
    return response


class LongRequests(ABC):
    """Makes jobs of requests of other features, whose results lie in the spool."""

    @abstractmethod
    async def receive(
        self,
        parts: AsyncIterator[bytes],
        by: tuple[str, str],
        *,
        parquet: bool = False,
        skip_unchanged: bool = True,
        once: Callable[[str], Once] | None = None,
    ) -> Job:
        """Queue an import of what is received now; it is on disk when this returns.

        Args:
            parts: of lines, or of a Parquet file.
            by: id and name of the key that asks for it.
            parquet: whether it is one.
            skip_unchanged: leave alone what is stored like this already.
            once: names the request, by the SHA-256 of what was received.

        Raises:
            UnsupportedMediaType: it is Parquet, and none can be read here.
            TooManyJobs, SpoolFull, Overloaded: there is no room.
            IdempotencyKeyReused: another request has the name of this one.
            StoreUnavailable: the store does not answer.
        """

    @abstractmethod
    async def answer_later(
        self,
        kind: str,
        asked: Mapping[str, Any],
        by: tuple[str, str],
        once: Once | None,
        scopes: Collection[Scope],
    ) -> Job:
        """Queue a job that writes a long answer to a file.

        Args:
            kind: of the question, as `service.bootstrap.jobs` registers it.
            asked: the question, for JSON.
            by: id and name of the key that asks it.
            once: names the request.
            scopes: that the question needs, and with it whoever reads the answer.

        Raises:
            TooManyJobs: too many jobs are queued or running.
            IdempotencyKeyReused: another request has the name of this one.
            StoreUnavailable: the store does not answer.
        """


CurrentLongRequests = Annotated[LongRequests, Depends(service_named("transfers", LongRequests))]
