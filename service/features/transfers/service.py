"""Takes imports and exports, as jobs; `imports` and `exports` do the work."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from service.errors import (
    InvalidRequest,
    JobStateConflict,
    Overloaded,
    RequestError,
    ResultNotHere,
    StoreUnavailable,
    Unavailable,
    UnsupportedMediaType,
)
from service.features.jobs.accepting import LongRequests
from service.features.jobs.service import Jobs, new_id
from service.features.transfers.exports import KIND as EXPORT
from service.features.transfers.imports import KIND as IMPORT
from service.features.transfers.sources import Stamp, find
from service.files.parquet import MISSING, SUFFIX, is_readable
from service.files.spool import BLOCK_BYTES, Spool, Upload
from service.scopes import Scope
from service.settings import Jobs as JobSettings
from service.store.jobs import Job, NewJob
from service.store.once import Once

UPLOADS_AT_ONCE = 8


class WrittenFile(NamedTuple):
    """What a job wrote.

    Attributes:
        path: of the file.
        format: of its content.
        scopes: that its question needs, beside those of the route.
        streamers: how many are in it; None where an earlier release wrote it.
    """

    path: Path
    format: str
    scopes: Collection[Scope]
    streamers: int | None


class Transfers(LongRequests):
    """Queues imports and exports, and finds what exports wrote."""

    def __init__(
        self, jobs: Jobs, spool: Spool, settings: JobSettings, with_files: Collection[str]
    ) -> None:
        """Queue by `jobs`, with files in `spool`; jobs of the kinds `with_files` write results."""
        self._with_files = with_files
        self._jobs = jobs
        self._spool = spool
        self._settings = settings
        self._uploads = 0
        self._submitting: set[asyncio.Task[Job]] = set()

    async def receive(
        self,
        parts: AsyncIterator[bytes],
        by: tuple[str, str],
        *,
        parquet: bool = False,
        encoded: bool = False,
        skip_unchanged: bool = True,
        once: Callable[[str], Once] | None = None,
    ) -> Job:
        """Queue an import of what is received now; see `LongRequests.receive`."""
        if parquet and not is_readable():
            raise UnsupportedMediaType(MISSING)
        await self._jobs.check_room()
        if self._uploads >= UPLOADS_AT_ONCE:
            raise Overloaded(f"{UPLOADS_AT_ONCE} uploads are being received already", 5)
        job_id, block, digest = new_id(), bytearray(), hashlib.sha256()

        def write(upload: Upload, part: bytes) -> None:
            upload.write(part)
            digest.update(part)

        self._uploads += 1
        try:
            async with self._spool.receiving(job_id) as upload:
                async for part in parts:
                    block += part
                    if len(block) >= BLOCK_BYTES:
                        await asyncio.to_thread(write, upload, bytes(block))
                        block.clear()
                await asyncio.to_thread(write, upload, bytes(block))
                await asyncio.to_thread(upload.keep)
        finally:
            self._uploads -= 1
        asked = {
            "parquet": parquet,
            "encoded": encoded,
            "skip_unchanged": skip_unchanged,
        }
        return await self._submit(job_id, IMPORT, asked, by, once and once(digest.hexdigest()))

    async def import_file(
        self, path: str, by: tuple[str, str], once: Once | None = None, *, encoded: bool = False
    ) -> Job:
        """Queue an import of a file below the folder that the settings name; see `receive`.

        Raises:
            InvalidRequest: there is no such file, or it may not be read.
            TooManyJobs: too many jobs are queued or running.
            StoreUnavailable: the store does not answer.
        """

        def look() -> Stamp:
            return Stamp.of(find(self._settings.import_dir, path).stat())

        stamp = await asyncio.to_thread(look)
        parquet = path.lower().endswith(SUFFIX)
        if parquet and not is_readable():
            raise InvalidRequest.of("/path", MISSING)
        asked = {
            "path": path,
            "stamp": asdict(stamp),
            "parquet": parquet,
            "encoded": encoded,
        }
        return await self._submit(new_id(), IMPORT, asked, by, once)

    async def export(
        self, wanted: Mapping[str, Any], by: tuple[str, str], once: Once | None = None
    ) -> Job:
        """Queue an export of all stored streamers that a filter lets through, as JSON has it.

        `by` is id and name of the key that asks for it.

        Raises:
            TooManyJobs: too many jobs are queued or running.
            StoreUnavailable: the store does not answer.
        """
        return await self._submit(new_id(), EXPORT, {"filter": wanted}, by, once)

    async def answer_later(
        self,
        kind: str,
        asked: Mapping[str, Any],
        by: tuple[str, str],
        once: Once | None,
        scopes: Collection[Scope],
    ) -> Job:
        """Queue a job that writes a long answer to a file; see `LongRequests.answer_later`."""
        given = {"question": asked, "scopes": sorted(scopes)}
        return await self._submit(new_id(), kind, given, by, once)

    async def result(self, job_id: str) -> WrittenFile:
        """What a job wrote.

        Raises:
            JobNotFound: there is no such job.
            JobStateConflict: jobs of its kind write none, or it has not succeeded.
            ResultNotHere: another replica has it, or it is lost.
        """
        job = await self._jobs.get(job_id)
        if job.kind not in self._with_files:
            raise JobStateConflict(
                f"a job of the kind {job.kind} has no file: its result is in the job itself"
            )
        if job.state != "succeeded":
            raise JobStateConflict(f"the job is {job.state}: only one that succeeded has a result")
        own = [self._jobs.scope_of(job.kind)]
        scopes: Collection[Scope] = json.loads(job.input).get("scopes", own)
        path = self._spool.result(job_id, job.token)
        if job.place != self._spool.place:
            raise ResultNotHere(
                f"the result lies in the spool {job.place!r}, and this replica has "
                f"{self._spool.place!r}: ask that one, or let all share STREAMER_JOBS__SPOOL_DIR"
            )
        if not await asyncio.to_thread(path.is_file):
            raise ResultNotHere("the file was removed from the spool: export again")
        made: Mapping[str, Any] = json.loads(job.result)
        return WrittenFile(path, made.get("format", "ndjson"), scopes, made.get("streamers"))

    async def _submit(
        self,
        job_id: str,
        kind: str,
        asked: Mapping[str, Any],
        by: tuple[str, str],
        once: Once | None,
    ) -> Job:
        """Queue a job, also if whoever asked for it leaves meanwhile."""
        known = {**asked, "key_id": by[0]}  # where services of an earlier release look for it
        given = json.dumps(known).encode()
        new = NewJob(job_id, kind, self._spool.place, given, once=once, by=by)
        submitting = asyncio.create_task(self._queue(new))
        self._submitting.add(submitting)
        submitting.add_done_callback(self._submitting.discard)
        return await asyncio.shield(submitting)

    async def _queue(self, new: NewJob) -> Job:
        try:
            job = await self._jobs.submit(new)
            if job.job_id != new.job_id:  # of an earlier one of the same requests
                await asyncio.to_thread(self._spool.remove, new.job_id)
            return job
        except (RequestError, Unavailable) as error:
            # A store that did not confirm it may have the job: its files go in time if not.
            if not isinstance(error, StoreUnavailable):
                await asyncio.to_thread(self._spool.remove, new.job_id)
            raise
