"""Jobs as those who ask for them see them; `service.features.jobs.runner` does the work."""

import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from service.errors import JobNotFound, JobStateConflict, TooManyJobs
from service.scopes import Scope
from service.settings import Jobs as JobSettings
from service.store.jobs import ANYWHERE, FINISHED, Job, JobStore, NewJob, State
from service.store.once import Once
from service.telemetry.spans import current_span

RETRIED: tuple[State, ...] = ("failed", "cancelled")
"""States of a job that can be queued again."""


def new_id() -> str:
    """An id for a job; in byte order, later ones come later."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(8)}"


class Jobs:
    """Queues, shows, cancels and retries jobs."""

    def __init__(
        self,
        store: JobStore,
        settings: JobSettings,
        wake: Callable[[], None],
        scopes: Mapping[str, Scope],
        hidden: Collection[str] = (),
    ) -> None:
        """Keep jobs.

        Args:
            store: of the jobs.
            settings: how many and how long.
            wake: tells this process's runner that one was queued.
            scopes: by kind, what a caller needs to cancel or retry a job.
            hidden: kinds whose results are shown to who has that scope alone.
        """
        self._scopes = scopes
        self._open = scopes.keys() - frozenset(hidden)
        self._store = store
        self._settings = settings
        self._wake = wake

    async def check_room(self) -> None:
        """Refuse early what `submit` would refuse.

        Raises:
            TooManyJobs: too many are queued or running.
        """
        if await self._store.is_full():
            raise self._too_many()

    async def submit(self, job: NewJob) -> Job:
        """Queue a job; it is on disk when this returns. Of the same requests, the first one does.

        Raises:
            TooManyJobs: too many are queued or running.
            IdempotencyKeyReused: another request has the name of this one.
            StoreUnavailable: the store does not answer; the job may be queued or not.
        """
        span = current_span()
        if span is not None:
            job = replace(job, traceparent=span.traceparent)
        queued = await self._store.submit(job)
        if queued is None:
            raise self._too_many()
        self._wake()
        return await self.get(queued)

    async def start(
        self,
        kind: str,
        asked: Mapping[str, Any],
        *,
        place: str = ANYWHERE,
        total: int | None = None,
        once: Once | None = None,
        job_id: str | None = None,
        by: tuple[str, str] = ("", ""),
    ) -> Job:
        """Queue a job of a kind that needs no files of its own; see `submit`.

        Args:
            kind: as `service.bootstrap.jobs` registers it.
            asked: what it needs to know, for JSON; at most some KiB, since the store keeps it.
            place: where it has to run.
            total: how much there is to do.
            once: as `NewJob.once`.
            job_id: of the job; it is queued once, however often it is asked for. By default new.
            by: as `NewJob.by`.
        """
        new = NewJob(job_id or new_id(), kind, place, _written(asked), total, once, by=by)
        return await self.submit(new)

    def scope_of(self, kind: str) -> Scope:
        """What a caller needs to cancel or retry a job of a kind."""
        return self._scopes.get(kind, "admin")

    def is_open(self, kind: str) -> bool:
        """Whether results of a kind are shown to everybody who may look at jobs."""
        return kind in self._open

    async def get(self, job_id: str) -> Job:
        """A job.

        Raises:
            JobNotFound: there is none, or no longer.
        """
        return self._found(job_id, await self._store.get(job_id))

    async def queued_by(self, once: Once) -> Job | None:
        """The job that an earlier request with this name queued; None if none, or no longer.

        Raises:
            IdempotencyKeyReused: it was another request.
        """
        return await self._store.queued_by(once)

    async def page(self, before: str, limit: int) -> Sequence[Job]:
        """Jobs, the newest first, before an id ("" = from the newest)."""
        return await self._store.page(before, limit)

    async def cancel(self, job_id: str) -> Job:
        """Cancel a job: a queued one at once, a running one within seconds; a second time is fine.

        Raises:
            JobNotFound: there is none.
            JobStateConflict: it succeeded or failed before.
        """
        job = self._found(job_id, await self._store.cancel(job_id))
        if job.state in ("succeeded", "failed"):
            raise JobStateConflict(f"the job has {job.state}: only one under way can be cancelled")
        return job

    async def retry(
        self, job_id: str, by: tuple[str, str], changed: Mapping[str, Any] | None = None
    ) -> Job:
        """Queue a failed or cancelled job again; it goes on where it stood, as that of this key.

        Args:
            job_id: of the job.
            by: as `NewJob.by`.
            changed: what it needs to know from now on; None = as before.

        Raises:
            JobNotFound: there is none.
            JobStateConflict: it did not fail and was not cancelled.
            TooManyJobs: too many are queued.
        """
        before = await self.get(job_id)
        if before.state not in RETRIED:
            raise JobStateConflict(
                f"the job is {before.state}: only a failed or cancelled one can be retried"
            )
        written = None if changed is None else _written(changed)
        job = self._found(job_id, await self._store.retry(job_id, written, by))
        if job.state in FINISHED and job.revision == before.revision:
            raise self._too_many()
        self._wake()
        return job

    def asked(self, kind: str) -> AsyncIterator[Mapping[str, bytes]]:
        """Inputs of all jobs of a kind; see `JobStore.asked`."""
        return self._store.asked(kind)

    async def forget(self, job_id: str) -> None:
        """Remove a job that has not begun or is finished; end one that runs."""
        await self._store.cancel(job_id)
        await self._store.forget(job_id)

    def _found(self, job_id: str, job: Job | None) -> Job:
        if job is None:
            hours = self._settings.keep_s / 3600
            raise JobNotFound(
                f"job {job_id!r} is not known; finished jobs are kept for {hours:g} h at most"
            )
        return job

    def _too_many(self) -> TooManyJobs:
        most = self._settings.max_queued
        return TooManyJobs(
            f"{most} jobs are queued or running (STREAMER_JOBS__MAX_QUEUED); try again when some "
            "are done",
            retry_after_s=10,
        )


def _written(asked: Mapping[str, Any]) -> bytes:
    return json.dumps(asked, ensure_ascii=False).encode()
