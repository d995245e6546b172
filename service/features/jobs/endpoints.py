"""`/v1/jobs`: long work is listed, looked at, cancelled and retried."""

import re
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from starlette.convertors import StringConvertor, register_url_convertor

from service.errors import InvalidRequest, JobNotFound, JobStateConflict, NoSuchPath, TooManyJobs
from service.features.jobs.schemas import EXAMPLE_ID, JobOut, JobPage
from service.features.jobs.service import Jobs
from service.features.jobs.shown import job_out
from service.http.auth.callers import CurrentCaller
from service.http.auth.rate_limits import CurrentCharges, hits_units
from service.http.auth.route_scopes import requires
from service.http.dependencies import service_named
from service.http.documents import STORE, responses
from service.http.openapi import RUNNING_IT

router = APIRouter(prefix="/v1", tags=[RUNNING_IT])
CurrentJobs = Annotated[Jobs, Depends(service_named("jobs", Jobs))]
_ID = "[0-9a-f]{28}"
JobIdPath = Annotated[
    str,
    Path(
        pattern=f"^{_ID}$",
        description="As the job's Location says.",
        openapi_examples={"a job": {"value": EXAMPLE_ID}},
    ),
]


class _JobId(StringConvertor):
    """An id in a path: `/v1/jobs/imports` is none, and does not take what a job takes."""

    regex = _ID


register_url_convertor("job", _JobId())


@router.get(
    "/jobs",
    operation_id="list_jobs",
    summary="List jobs, in pages",
    dependencies=[requires("streamers:read")],
    responses=responses(*STORE),
)
async def list_jobs(
    jobs: CurrentJobs,
    charges: CurrentCharges,
    cursor: Annotated[
        str | None, Query(max_length=256, description="next_cursor of the previous page.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most jobs on a page.")] = 100,
) -> JobPage:
    """The newest first, finished ones too while they are kept (`STREAMER_JOBS__KEEP_S`)."""
    if cursor is not None and not re.fullmatch(_ID, cursor):
        raise InvalidRequest.of_parameter("cursor", "is not a cursor that this service gave")
    charges.reach("streamers:read", hits_units(limit))
    found = await jobs.page(cursor or "", limit)
    following = found[-1].job_id if len(found) == limit else None
    return JobPage(jobs=[job_out(job) for job in found], next_cursor=following)


@router.get(
    "/jobs/{job_id:job}",
    operation_id="get_job",
    summary="Get a job",
    dependencies=[requires("streamers:read")],
    responses=responses(*STORE, NoSuchPath, JobNotFound),
)
async def get_job(jobs: CurrentJobs, job_id: JobIdPath) -> JobOut:
    """Its state, how far it is, and its result or error once it is finished."""
    return job_out(await jobs.get(job_id))


@router.post(
    "/jobs/{job_id:job}:cancel",
    operation_id="cancel_job",
    summary="Cancel a job",
    dependencies=[requires("streamers:read")],  # and the scope of its kind, below
    responses=responses(*STORE, NoSuchPath, JobNotFound, JobStateConflict),
)
async def cancel_job(jobs: CurrentJobs, caller: CurrentCaller, job_id: JobIdPath) -> JobOut:
    """A queued job is cancelled at once, a running one within seconds (`cancelling` until then).

    What an import wrote stays written. The kind of the job decides which other scope it needs, that
    of the request which begins such a job: `streamers:write` for imports and exports, `search` for
    `similar_export`, `duplicates` for its rebuild, `admin` for that of the index.
    """
    caller.require(jobs.scope_of((await jobs.get(job_id)).kind))
    return job_out(await jobs.cancel(job_id))


@router.post(
    "/jobs/{job_id:job}:retry",
    operation_id="retry_job",
    summary="Retry a job",
    dependencies=[requires("streamers:read")],  # as above
    responses=responses(*STORE, NoSuchPath, JobNotFound, JobStateConflict, TooManyJobs),
)
async def retry_job(jobs: CurrentJobs, caller: CurrentCaller, job_id: JobIdPath) -> JobOut:
    """Queues a failed or cancelled job again.

    It goes on where it stood; one whose input had changed begins anew. It needs the scopes of
    `:cancel`.
    """
    caller.require(jobs.scope_of((await jobs.get(job_id)).kind))
    return job_out(await jobs.retry(job_id))
