"""`/v1/jobs`: long work is listed, looked at, cancelled and retried."""

import json
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Response
from starlette.convertors import StringConvertor, register_url_convertor

from service.errors import JobNotFound, JobStateConflict, NoSuchPath, TooManyJobs
from service.features.jobs.schemas import JobOut, JobPage
from service.features.jobs.service import RETRIED, Jobs
from service.features.jobs.shown import job_for
from service.http.auth.callers import Caller, CurrentCaller
from service.http.auth.rate_limits import ALL_UNITS, CurrentCharges, hits_units
from service.http.auth.route_scopes import OrOneOf, requires
from service.http.dependencies import CheckedRouter, CurrentLanes, service_named
from service.http.documents import STORE, responses
from service.http.headers.cursors import Cursor, cursor_of, place_of
from service.http.json_bodies import json_answer
from service.http.openapi import RUNNING_IT
from service.scopes import SCOPES, Scope
from service.store.jobs import Job

router = CheckedRouter(prefix="/v1", tags=[RUNNING_IT])
CurrentJobs = Annotated[Jobs, Depends(service_named("jobs", Jobs))]
_ID = "[0-9a-f]{28}"
_LISTING = "jobs"
READ: Scope = "streamers:read"
OWN: list[Any] = [requires(READ), Depends(OrOneOf(SCOPES))]
"""Of routes about one job, whose kind decides who may ask."""
JobIdPath = Annotated[
    str,
    Path(
        pattern=f"^{_ID}$",
        description="As the job's Location says; GET /v1/jobs lists them.",
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
    response_model=JobPage,
    responses=responses(*STORE),
)
async def list_jobs(
    jobs: CurrentJobs,
    lanes: CurrentLanes,
    caller: CurrentCaller,
    charges: CurrentCharges,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most jobs on a page.")] = 100,
) -> Response:
    """The newest first, finished ones too while they are kept (`STREAMER_JOBS__KEEP_S`)."""
    before = place_of(cursor, _LISTING)
    charges.reach("streamers:read", hits_units(limit))
    found = await jobs.page(before, limit)
    following = found[-1].job_id if len(found) == limit else None

    def page() -> JobPage:  # their results, of up to 10 kB each, are read and written anew
        shown = [job_for(caller, jobs, job) for job in found]
        return JobPage(jobs=shown, next_cursor=cursor_of(following, _LISTING))

    return await json_answer(page, len(found), lanes)


@router.get(
    "/jobs/{job_id:job}",
    operation_id="get_job",
    summary="Get a job",
    dependencies=OWN,
    responses=responses(*STORE, NoSuchPath, JobNotFound),
)
async def get_job(jobs: CurrentJobs, caller: CurrentCaller, job_id: JobIdPath) -> JobOut:
    """Its state, how far it is, and its result or error once it is finished.

    In place of `streamers:read` the scope of its kind does, see `:cancel`: whoever may begin a job
    may watch it.
    """
    job = await jobs.get(job_id)
    caller.require(READ, jobs.scope_of(job.kind))
    return job_for(caller, jobs, job)


@router.post(
    "/jobs/{job_id:job}:cancel",
    operation_id="cancel_job",
    summary="Cancel a job",
    dependencies=OWN,
    responses=responses(*STORE, NoSuchPath, JobNotFound, JobStateConflict),
)
async def cancel_job(jobs: CurrentJobs, caller: CurrentCaller, job_id: JobIdPath) -> JobOut:
    """A queued job is cancelled at once, a running one within seconds (`cancelling` until then).

    What an import wrote stays written. The kind of the job decides which scope it needs, that of
    the request which begins such a job: `streamers:write` for imports (`admin` too where what is
    encoded already is imported), `streamers:read` for exports, `search` for `similar_export`,
    `duplicates` for its rebuild, `admin` for that of the index.
    """
    _check(caller, jobs, await jobs.get(job_id))
    return job_for(caller, jobs, await jobs.cancel(job_id))


@router.post(
    "/jobs/{job_id:job}:retry",
    operation_id="retry_job",
    summary="Retry a job",
    dependencies=OWN,
    responses=responses(*STORE, NoSuchPath, JobNotFound, JobStateConflict, TooManyJobs),
)
async def retry_job(
    jobs: CurrentJobs, caller: CurrentCaller, charges: CurrentCharges, job_id: JobIdPath
) -> JobOut:
    """Queues a failed or cancelled job again.

    It goes on where it stood, as a job of the key that retries it; one whose input had changed
    begins anew. A list that it makes, and what it notes in a case, name who asked for it as
    before. It needs the scope of `:cancel`, and those of the question that the job answers, such as
    `explain`.
    """
    job = await jobs.get(job_id)
    _check(caller, jobs, job)
    scopes: set[Scope] = {jobs.scope_of(job.kind), *json.loads(job.input).get("scopes", ())}
    for scope in sorted(scopes):
        caller.require(scope)
    if job.state in RETRIED:  # or it would be made anew, again and again, for one unit
        for scope in sorted(scopes):
            charges.reach(scope, ALL_UNITS)
    return job_for(caller, jobs, await jobs.retry(job_id, caller.key))


def _check(caller: Caller, jobs: Jobs, job: Job) -> None:
    """Refuse whoever may not begin such a job."""
    caller.require(jobs.scope_of(job.kind))
    if json.loads(job.input).get("encoded"):
        caller.require("admin")
