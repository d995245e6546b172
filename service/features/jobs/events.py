"""`GET /v1/jobs/{id}/events`: a job's changes as server-sent events.

Each event is the whole job, and its id is the job's revision: a client that reconnects with
`Last-Event-ID` gets the present state if it has changed since, and has missed nothing that counts.
"""

import asyncio
from contextlib import ExitStack
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi.sse import format_sse_event
from pydantic import WithJsonSchema

from service.errors import InvalidRequest, JobNotFound, NoSuchPath
from service.features.jobs.endpoints import OWN, READ, CurrentJobs, JobIdPath
from service.features.jobs.schemas import EXAMPLE, JobOut
from service.features.jobs.service import Jobs
from service.features.jobs.shown import job_for
from service.http.auth.callers import Caller, CurrentCaller, still_allowed
from service.http.dependencies import CheckedRouter
from service.http.documents import STORE, responses
from service.http.lifecycle import Lifecycle
from service.http.openapi import RUNNING_IT
from service.http.streams.server_sent import (
    MEDIA_TYPE,
    EventStream,
    Take,
    Watchers,
    event_stream,
)
from service.scopes import Scope
from service.store.jobs import FINISHED, Job

POLL_S = 0.5
"""A change is seen at most so late."""


def _event_of(job: JobOut, revision: int) -> bytes:
    return format_sse_event(event="job", id=str(revision), data_str=job.model_dump_json())


_LAST_EVENT = _event_of(JobOut.model_validate(EXAMPLE), 3).decode()


def _taking(caller: Caller, jobs: Jobs, job: Job, seen: int) -> Take:
    """Gives a job's present state, unless that was seen, then each later one, up to its end."""
    states = [job]

    async def take() -> tuple[bytes, bool]:
        nonlocal seen
        try:
            now = states.pop() if states else await jobs.get(job.job_id)
        except JobNotFound:
            return b"", True
        text = b""
        if now.revision > seen:
            seen = now.revision
            text = _event_of(job_for(caller, jobs, now), seen)
        return text, now.state in FINISHED

    return take


def router_of(lifecycle: Lifecycle) -> APIRouter:
    """The route; its streams end when the process is to stop."""
    router = CheckedRouter(prefix="/v1", tags=[RUNNING_IT])
    watchers = Watchers(lifecycle)

    @router.get(
        "/jobs/{job_id:job}/events",
        operation_id="watch_job",
        summary="Watch a job (server-sent events)",
        dependencies=OWN,
        response_class=EventStream,
        responses={
            **responses(*STORE, NoSuchPath, JobNotFound),
            200: {
                "content": {
                    MEDIA_TYPE: {
                        "schema": {"type": "string"},
                        "examples": {"the last event": {"value": _LAST_EVENT}},
                    }
                },
                "description": "Events `job`, whose data is the job; the last one is finished.",
            },
            204: {"description": "The job is finished, and its last event was seen."},
        },
    )
    async def watch_job(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        jobs: CurrentJobs,
        caller: CurrentCaller,
        job_id: JobIdPath,
        last_event_id: Annotated[
            Annotated[str, WithJsonSchema({"type": "string", "pattern": r"^\d{1,15}$"})] | None,
            Header(description="The id of the last event that was seen."),
        ] = None,
    ) -> Response:
        """The present state, then every change, at most two a second, up to the job's end.

        It needs the scopes of `GET /v1/jobs/{job_id}`.
        """
        seen = _revision_of(last_event_id)
        job = await jobs.get(job_id)
        if seen > job.revision:  # of another job, or of what a restore has undone
            seen = 0
        own = jobs.scope_of(job.kind)
        caller.require(READ, own)
        needed: set[Scope] = {READ, own}  # each decides what is shown
        if job.state in FINISHED and job.revision <= seen:
            return Response(status_code=204)
        place = ExitStack()
        place.enter_context(watchers.waiting(caller, "ask for the job itself"))
        return event_stream(
            watchers.stream(
                _taking(caller, jobs, job, seen),
                partial(asyncio.sleep, POLL_S),
                still_allowed(request, needed & caller.scopes),
            ),
            place,
        )

    return router


def _revision_of(last_event_id: str | None) -> int:
    if last_event_id is None:
        return 0
    if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) <= 15):
        raise InvalidRequest.of_parameter("last-event-id", "is not the id of an event of this job")
    return int(last_event_id)
