"""`GET /v1/jobs/{id}/events`: a job's changes as server-sent events.

Each event is the whole job, and its id is the job's revision: a client that reconnects with
`Last-Event-ID` gets the present state if it has changed since, and has missed nothing that counts.
Nothing is queued for a client: the next event is made when the one before was taken, so one that
never reads costs a connection, until that is closed (`STREAMER_SERVER__IDLE_TIMEOUT_S`).
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi.sse import format_sse_event
from pydantic import WithJsonSchema
from starlette.responses import StreamingResponse

from service.errors import InvalidRequest, JobNotFound, NoSuchPath, Overloaded, ServiceError
from service.features.jobs.endpoints import CurrentJobs, JobIdPath
from service.features.jobs.schemas import EXAMPLE, JobOut
from service.features.jobs.service import Jobs
from service.features.jobs.shown import job_out
from service.http.auth.callers import KeyRing, caller_by
from service.http.auth.route_scopes import requires
from service.http.documents import STORE, responses
from service.http.lifecycle import Lifecycle
from service.http.openapi import RUNNING_IT
from service.scopes import Scope
from service.store.jobs import FINISHED, Job

POLL_S = 0.5
"""A change is seen at most so late."""
HEARTBEAT_S = 10.0
"""A comment keeps connections open on which nothing happens for so long."""
MOST_WATCHERS = 100
_MEDIA_TYPE = "text/event-stream"
_SCOPE: Scope = "streamers:read"


def _event_of(job: JobOut, revision: int) -> bytes:
    return format_sse_event(event="job", id=str(revision), data_str=job.model_dump_json())


_LAST_EVENT = _event_of(JobOut.model_validate(EXAMPLE), 3).decode()


class EventStream(StreamingResponse):
    """Events, until the job is finished or the client leaves."""

    media_type = _MEDIA_TYPE


class Watchers:
    """Counts those who watch jobs; more than `MOST_WATCHERS` are refused."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        """Nobody watches yet; streams end when `lifecycle` says that the process stops."""
        self._lifecycle = lifecycle
        self.count = 0

    async def watch(
        self, jobs: Jobs, job: Job, seen: int, check: Callable[[], object]
    ) -> AsyncGenerator[bytes, None]:
        """Events of a job from its present state on, unless that was seen, up to its end.

        They end before that once `check` raises a `ServiceError`.
        """
        self.count += 1
        try:
            quiet_s = 0.0
            while True:
                if job.revision > seen:
                    seen, quiet_s = job.revision, 0.0
                    yield _event_of(job_out(job), seen)
                if job.state in FINISHED or self._lifecycle.is_draining:
                    return
                if quiet_s >= HEARTBEAT_S:
                    quiet_s = 0.0
                    yield format_sse_event(comment="still here")
                await asyncio.sleep(POLL_S)
                quiet_s += POLL_S
                try:
                    check()
                except ServiceError:  # the key was revoked, or has expired
                    return
                try:
                    job = await jobs.get(job.job_id)
                except JobNotFound:
                    return
                except ServiceError:
                    continue  # the store does not answer at the moment
        finally:
            self.count -= 1


def router_of(lifecycle: Lifecycle) -> APIRouter:
    """The route; its streams end when the process is to stop."""
    router = APIRouter(prefix="/v1", tags=[RUNNING_IT])
    watchers = Watchers(lifecycle)

    @router.get(
        "/jobs/{job_id:job}/events",
        operation_id="watch_job",
        summary="Watch a job (server-sent events)",
        dependencies=[requires(_SCOPE)],
        response_class=EventStream,
        responses={
            **responses(*STORE, NoSuchPath, JobNotFound),
            200: {
                "content": {
                    _MEDIA_TYPE: {
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
        job_id: JobIdPath,
        last_event_id: Annotated[
            Annotated[str, WithJsonSchema({"type": "string", "pattern": r"^\d{1,15}$"})] | None,
            Header(description="The id of the last event that was seen."),
        ] = None,
    ) -> Response:
        """The present state, then every change, at most two a second, up to the job's end."""
        seen = _revision_of(last_event_id)
        job = await jobs.get(job_id)
        if job.state in FINISHED and job.revision <= seen:
            return Response(status_code=204)

        def check() -> None:
            keys: KeyRing = request.state.services.key_ring
            if not keys.is_open:
                caller_by(keys, request.headers.get("authorization", "")).require(_SCOPE)

        if watchers.count >= MOST_WATCHERS:
            raise Overloaded(f"{MOST_WATCHERS} clients watch jobs already; ask for the job itself")
        return EventStream(
            watchers.watch(jobs, job, seen, check),
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    return router


def _revision_of(last_event_id: str | None) -> int:
    if last_event_id is None:
        return 0
    if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) <= 15):
        raise InvalidRequest.of_parameter("last-event-id", "is not the id of an event of this job")
    return int(last_event_id)
