"""`/v1/jobs`: long work is listed, looked at, cancelled and retried."""

import re
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from starlette.convertors import Convertor, register_url_convertor

from service.errors import InvalidRequest, JobNotFound, JobStateConflict, NoSuchPath, TooManyJobs
from service.features.jobs.schemas import JobOut, JobPage, job_out
from service.features.jobs.service import Jobs
from service.http.dependencies import service_named
from service.http.documents import STORE, responses

router = APIRouter(prefix="/v1", tags=["jobs"])
CurrentJobs = Annotated[Jobs, Depends(service_named("jobs", Jobs))]
_ID = "[0-9a-f]{28}"
JobIdPath = Annotated[str, Path(pattern=f"^{_ID}$", description="As the job's Location says.")]


class _JobId(Convertor[str]):
    """An id in a path: `/v1/jobs/imports` is none, and does not take what a job takes."""

    regex = _ID

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("job", _JobId())


@router.get("/jobs", summary="List jobs, in pages", responses=responses(*STORE))
async def list_jobs(
    jobs: CurrentJobs,
    cursor: Annotated[
        str | None, Query(max_length=256, description="next_cursor of the previous page.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most jobs on a page.")] = 100,
) -> JobPage:
    """The newest first, finished ones too while they are kept (`STREAMER_JOBS__KEEP_S`)."""
    if cursor is not None and not re.fullmatch(_ID, cursor):
        raise InvalidRequest.of_parameter("cursor", "is not a cursor that this service gave")
    found = await jobs.page(cursor or "", limit)
    following = found[-1].job_id if len(found) == limit else None
    return JobPage(jobs=[job_out(job) for job in found], next_cursor=following)


@router.get(
    "/jobs/{job_id:job}", summary="Get a job", responses=responses(*STORE, NoSuchPath, JobNotFound)
)
async def get_job(jobs: CurrentJobs, job_id: JobIdPath) -> JobOut:
    """Its state, how far it is, and its result or error once it is finished."""
    return job_out(await jobs.get(job_id))


@router.post(
    "/jobs/{job_id:job}:cancel",
    summary="Cancel a job",
    responses=responses(*STORE, NoSuchPath, JobNotFound, JobStateConflict),
)
async def cancel_job(jobs: CurrentJobs, job_id: JobIdPath) -> JobOut:
    """A queued job is cancelled at once, a running one within seconds (`cancelling` until then).

    What an import wrote stays written.
    """
    return job_out(await jobs.cancel(job_id))


@router.post(
    "/jobs/{job_id:job}:retry",
    summary="Retry a job",
    responses=responses(*STORE, NoSuchPath, JobNotFound, JobStateConflict, TooManyJobs),
)
async def retry_job(jobs: CurrentJobs, job_id: JobIdPath) -> JobOut:
    """Queues a failed or cancelled job again.

    It goes on where it stood; one whose input had changed begins anew.
    """
    return job_out(await jobs.retry(job_id))
