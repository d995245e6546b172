"""Requests and responses of `/v1/jobs`."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from service.http.schemas import Problem, Response, with_nulls

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
    "key_id": "3f9c1a2b7d04",
    "key_name": "campaigns",
}
QUEUED = EXAMPLE | {
    "state": "queued",
    "progress": {"done": 0, "total": None, "rate": None, "eta_s": None},
    "result": None,
    "attempts": 0,
}


class ProgressOut(Response):
    """How far a job is: of imports in lines, otherwise in streamers."""

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
    kind: Annotated[
        str,
        Field(
            description="import, export, similar_export, list, index_rebuild, duplicates, "
            "cases, watchlists, layout, model_backfill, model_comparison."
        ),
    ]
    state: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    cancelling: Annotated[bool, Field(description="It runs, and is about to end.")]
    progress: ProgressOut
    result: Annotated[
        dict[str, Any] | None,
        Field(
            description="Of a job that succeeded; of a list that is not complete it says why, in "
            "`incomplete_because`, and it has the list's `warnings`. null without the scope "
            "`cases` where the kind is `cases`."
        ),
    ]
    error: Annotated[Problem | None, Field(description="Why it failed.")]
    created_at: float
    updated_at: float
    attempts: Annotated[int, Field(description="How often a process began or continued it.")]
    place: Annotated[
        str,
        Field(
            description="The spool with its files, or of a rebuild the replica whose index it is: "
            "replicas that have this one run the job. Empty where any may."
        ),
    ]
    key_id: Annotated[
        str | None,
        Field(
            description="Of the API key that started or last retried it; null where the service "
            "did, and of jobs that an earlier release queued."
        ),
    ] = None
    key_name: str | None = None


class JobPage(Response):
    """A page of jobs, the newest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [with_nulls({"jobs": [EXAMPLE], "next_cursor": None})]}
    )

    jobs: list[JobOut]
    next_cursor: Annotated[
        str | None, Field(description="Fetches the next page; null on the last page.")
    ]
