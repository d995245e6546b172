"""Written by `generate.py` from `async_jobs.py`: change that, not this."""

# fmt: off

import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from service.client import calls
from service.client.transport import Transport
from service.client.calls import Call, ExportLine
from service.client.errors import ClientError, JobCancelled, JobFailed, UnexpectedAnswer
from service.client.lines import NDJSON, Profile, chunks_of
from service.client.models import (
    ExportIn,
    FilterIn,
    ImportResultOut,
    JobOut,
    StreamerProfile,
)
from service.client.patience import Deadline, LastWrite

Progress = Callable[[JobOut], None]
_JSON = "application/json"
_PARQUET = "application/vnd.apache.parquet"
_HEARTBEAT_S = 10.0
"""The service sends a sign of life so often; with less time left, it is asked again and again."""
_SILENT_S = 3 * _HEARTBEAT_S
_POLL_S = 0.5


class Jobs:
    """Long work of the service: looked at, waited for, cancelled, retried."""

    def __init__(self, transport: Transport) -> None:
        """Ask by `transport`."""
        self._transport = transport

    def get(self, job_id: str, *, deadline_s: float | None = None) -> JobOut:
        """A job as it is now."""
        return self._transport.call(calls.job(job_id), deadline_s)

    def all(
        self, *, page_size: int = 100, deadline_s: float | None = None
    ) -> Generator[JobOut, None, None]:
        """All jobs that are kept, the newest first; the deadline is of a page."""
        cursor: str | None = None
        while True:
            page = self._transport.call(calls.page_of_jobs(page_size, cursor), deadline_s)
            for job in page.jobs:
                yield job
            cursor = page.next_cursor
            if cursor is None:
                return

    def cancel(self, job_id: str, *, deadline_s: float | None = None) -> JobOut:
        """Cancel a job: one that runs ends within seconds."""
        return self._transport.call(calls.change_job(job_id, "cancel"), deadline_s)

    def retry(self, job_id: str, *, deadline_s: float | None = None) -> JobOut:
        """Queue a failed or cancelled job again."""
        return self._transport.call(calls.change_job(job_id, "retry"), deadline_s)

    def rebuild_index(self, *, deadline_s: float | None = None) -> JobOut:
        """Have the replica that answers rebuild its index; the job, which is queued."""
        call = calls.start_job("/v1/index:rebuild", b"", _JSON)
        return self._transport.call(call, deadline_s)

    def wait(
        self,
        job_id: str,
        *,
        timeout_s: float | None = None,
        on_progress: Progress | None = None,
    ) -> JobOut:
        """A job once it has succeeded.

        It is watched by server-sent events, and asked for where those do not come through. The
        service may restart meanwhile: it is given up when nothing was heard of it for the
        `deadline_s` of the client's `patience`.

        Args:
            job_id: of the job.
            timeout_s: longest time to wait; None = for as long as it takes.
            on_progress: is called with the job at first and whenever it has changed.

        Raises:
            JobFailed: it failed.
            JobCancelled: it was cancelled.
            NotFound: there is no such job, or no longer.
            DeadlineExceeded: it has not finished in time; it goes on.
            ClientError: the service is gone.
        """
        deadline, tries = Deadline(timeout_s), self._transport.attempts(attempt_s=_SILENT_S)
        seen = _Seen(job_id, on_progress)
        watches = can_watch = True
        while True:
            is_watched = can_watch and watches and deadline.left_s() > _HEARTBEAT_S
            call = calls.watch_job(job_id, seen.last_id) if is_watched else calls.job(job_id)
            try:
                if is_watched:
                    with closing(self._transport.events(call, tries)) as events:
                        for found in events:
                            for last_id, data in found:
                                seen.read(self._transport.url, last_id, data)
                            if seen.finished or deadline.left_s() <= _HEARTBEAT_S:
                                break
                else:
                    job = self._transport.try_once(calls.job(job_id), tries)
                    seen.note(job)
                    watches = True  # again, where that failed
                if seen.finished:
                    return seen.succeeded()
                time.sleep(min(_POLL_S, max(deadline.left_s(), 0)))
            except ClientError as error:
                if is_watched and isinstance(error, UnexpectedAnswer) and not error.is_passing:
                    can_watch = False  # something in between lets no events through
                else:
                    watches = False
                    self._transport.pause(call, tries, error)
            deadline.check(f"the job {job_id} has not finished")


class _Seen:
    """What was seen of a job.

    Attributes:
        last_id: of the last event; None before one came.
    """

    def __init__(self, job_id: str, on_progress: Progress | None) -> None:
        self._job_id = job_id
        self._on_progress = on_progress
        self._job: JobOut | None = None
        self.last_id: str | None = None

    @property
    def finished(self) -> bool:
        return self._job is not None and self._job.state not in ("queued", "running")

    def read(self, url: str, last_id: str, data: bytes) -> None:
        try:
            job = JobOut.model_validate_json(data)
        except ValidationError as error:
            raise UnexpectedAnswer(url, 200, data, error) from error
        self.last_id = last_id or self.last_id
        self.note(job)

    def note(self, job: JobOut) -> None:
        if job != self._job:
            self._job = job
            if self._on_progress is not None:
                self._on_progress(job)

    def succeeded(self) -> JobOut:
        assert self._job is not None
        if self._job.state == "succeeded":
            return self._job
        raise (JobFailed if self._job.state == "failed" else JobCancelled)(self._job)


class Imports:
    """Many streamers in, as a job that goes on by itself."""

    def __init__(self, transport: Transport, jobs: Jobs, last: LastWrite) -> None:
        """Ask by `transport`; questions of the client wait for what was imported."""
        self._transport = transport
        self._jobs = jobs
        self._last = last

    def start(
        self, profiles: Iterable[Profile | bytes | str], *, deadline_s: float | None = None
    ) -> JobOut:
        """Upload profiles, which are in memory meanwhile; the job, once they are on its disk.

        Args:
            profiles: models, mappings, or lines of NDJSON, such as those of an open file.
            deadline_s: of the upload.
        """
        body = b"".join(chunk.body() for chunk in chunks_of(profiles, 1 << 16, 1 << 24))
        call = calls.start_job("/v1/jobs/imports", body, NDJSON)
        return self._transport.call(call, deadline_s)

    def start_upload(
        self, file: Path, *, encoded: bool = False, deadline_s: float | None = None
    ) -> JobOut:
        """Upload a file of profiles, a part at a time; the job, once it is on the service's disk.

        Args:
            file: lines of NDJSON, or Parquet where its name ends in `.parquet`; it is read anew
                for each try.
            encoded: as for `start_file`.
            deadline_s: of the upload, which takes long for a long file.

        Raises:
            OSError: the file can't be read.
        """
        return self._transport.call(_upload(file, encoded), deadline_s)

    def start_file(
        self, path: str, *, encoded: bool = False, deadline_s: float | None = None
    ) -> JobOut:
        """Import a file that the service can read, below the folder that its operator named.

        Args:
            path: of the file, relative to that folder.
            encoded: whether `similar-streamer encode` wrote it, so that nothing is encoded again;
                needs a key with the scope `admin`.
            deadline_s: of the request.
        """
        asked = {"path": path, "encoded": encoded} if encoded else {"path": path}
        call = calls.start_job("/v1/jobs/imports", to_json(asked), _JSON)
        return self._transport.call(call, deadline_s)

    def wait(
        self, job_id: str, *, timeout_s: float | None = None, on_progress: Progress | None = None
    ) -> ImportResultOut:
        """The result of an import once it is there; see `Jobs.wait`."""
        job = self._jobs.wait(job_id, timeout_s=timeout_s, on_progress=on_progress)
        result = ImportResultOut.model_validate(job.result)
        self._last.note(result.sequence)
        return result


def _upload(file: Path, encoded: bool) -> Call[JobOut]:
    is_parquet = encoded or file.suffix.lower() == ".parquet"  # what is encoded always is
    media_type = _PARQUET if is_parquet else NDJSON
    call = calls.start_job("/v1/jobs/imports", b"", media_type)
    headers = {**call.headers, "Content-Length": str(file.stat().st_size)}
    params = calls.params_of(encoded=encoded)
    return replace(call, content=None, file=file, params=params, headers=headers)


class Exports:
    """Many streamers out, as a job that writes a file."""

    def __init__(self, transport: Transport, jobs: Jobs, last: LastWrite) -> None:
        """Ask by `transport`; questions wait for the last write of the client."""
        self._transport = transport
        self._jobs = jobs
        self._last = last

    def start(
        self, wanted: FilterIn | Mapping[str, Any] | None = None, *, deadline_s: float | None = None
    ) -> JobOut:
        """Export all stored streamers, or those that a filter lets through; the job."""
        call = calls.start_job("/v1/jobs/exports", calls.export_body(wanted), _JSON)
        return self._transport.call(call, deadline_s)

    def lines(
        self,
        job_id: str,
        *,
        timeout_s: float | None = None,
        on_progress: Progress | None = None,
        deadline_s: float | None = None,
    ) -> Generator[StreamerProfile, None, None]:
        """What an export wrote, once it has succeeded; see `Jobs.wait`.

        Raises:
            ClientError: also in the middle, where the download breaks off; begin it again.
        """
        job = self._jobs.wait(job_id, timeout_s=timeout_s, on_progress=on_progress)
        if job.kind == "similar_export":
            raise ClientError(
                f"the job {job_id} exports who is similar: read it by `similar_lines`"
            )
        call = calls.job_result(job_id)
        with closing(self._transport.lines(call, deadline_s)) as lines:
            for line in lines:
                try:
                    profile = StreamerProfile.model_validate_json(line)
                except ValidationError as error:
                    raise UnexpectedAnswer(self._transport.url, 200, line, error) from error
                yield profile

    def start_similar(
        self, question: ExportIn | Mapping[str, Any], *, deadline_s: float | None = None
    ) -> JobOut:
        """Export every streamer that reaches a score, as `Client.export`; the job.

        Raises:
            ClientError: also for a question of more than 64 KiB, which is answered at once alone.
        """
        call = calls.start_similar_export(question, self._last.sequence)
        return self._transport.call(call, deadline_s)

    def similar_lines(
        self,
        job_id: str,
        *,
        timeout_s: float | None = None,
        on_progress: Progress | None = None,
        deadline_s: float | None = None,
    ) -> Generator[ExportLine, None, None]:
        """What a job of `start_similar` wrote, once it has succeeded; the last is the summary.

        Raises:
            ClientError: also in the middle, where the download breaks off; begin it again.
        """
        self._jobs.wait(job_id, timeout_s=timeout_s, on_progress=on_progress)
        call = calls.job_result(job_id)
        with closing(self._transport.lines(call, deadline_s)) as lines:
            for line in lines:
                yield calls.export_line(self._transport.url, line)
