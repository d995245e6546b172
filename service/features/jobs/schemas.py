"""Requests and responses of `/v1/jobs`."""

import json
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from service.http.schemas import Problem, Response, with_nulls
from service.store.jobs import Job

EXAMPLE_ID = "019a1b2c3d4e5f60718293a4b5c6"
EXAMPLE: dict[str, Any] = {
    "job_id": EXAMPLE_ID,
    "kind": "import",
    "state": "succeeded",
    "cancelling": False,
    "progress": {"done": 2, "total": 2, "rate": None, "eta_s": None},
    "result": {
        "lines": 2,
        "created": 2,
        "updated": 0,
        "unchanged": 0,
        "refused": 0,
        "without_content": 0,
        "refused_lines": [],
        "sequence": 5002,
        "model_version": "transfer-plus-a931f7997f06",
        "sha256": "c5f3a2e8" * 8,
    },
    "error": None,
    "created_at": 1862438400.1,
    "updated_at": 1862438400.9,
    "attempts": 1,
    "place": "host-1-0f3c9a1b",
}
QUEUED = EXAMPLE | {
    "state": "queued",
    "progress": {"done": 0, "total": None, "rate": None, "eta_s": None},
    "result": None,
    "attempts": 0,
}


class ProgressOut(Response):
    """How far a job is; of imports lines, else streamers."""

    done: int
    total: Annotated[int | None, Field(description="null while it is not known.")]
    rate: Annotated[
        float | None, Field(description="Done in a second, of the present attempt; null at first.")
    ]
    eta_s: Annotated[float | None, Field(description="Seconds left at this rate, while it runs.")]


class JobOut(Response):
    """A job; times are seconds since 1970, UTC."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [with_nulls(EXAMPLE), with_nulls(QUEUED)]}
    )

    job_id: str
    kind: Annotated[str, Field(description="import, export or duplicates.")]
    state: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    cancelling: Annotated[bool, Field(description="It runs, and is about to end.")]
    progress: ProgressOut
    result: Annotated[dict[str, Any] | None, Field(description="Of a job that succeeded.")]
    error: Annotated[Problem | None, Field(description="Why it failed.")]
    created_at: float
    updated_at: float
    attempts: Annotated[int, Field(description="How often a process began or continued it.")]
    place: Annotated[
        str,
        Field(description="The spool with its files: replicas that have this one run the job."),
    ]


class JobPage(Response):
    """A page of jobs, the newest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [with_nulls({"jobs": [EXAMPLE], "next_cursor": None})]}
    )

    jobs: list[JobOut]
    next_cursor: Annotated[
        str | None, Field(description="Fetches the next page; null on the last page.")
    ]


def job_out(job: Job) -> JobOut:
    """A job as it is answered."""
    return JobOut(
        job_id=job.job_id,
        kind=job.kind,
        state=job.state,
        cancelling=job.is_cancelling,
        progress=_progress(job),
        result=json.loads(job.result) if job.result else None,
        error=Problem.model_validate_json(job.error) if job.error else None,
        created_at=job.created_at,
        updated_at=job.updated_at,
        attempts=job.attempts,
        place=job.place,
    )


def _progress(job: Job) -> ProgressOut:
    seconds, done = job.updated_at - job.began_at, job.done - job.began_done
    rate = done / seconds if job.state == "running" and done > 0 and seconds > 0 else None
    left = None if job.total is None else max(0, job.total - job.done)
    return ProgressOut(
        done=job.done,
        total=job.total,
        rate=None if rate is None else round(rate, 1),
        eta_s=None if rate is None or left is None else round(left / rate, 1),
    )
