"""Takes imports and exports, as jobs; `imports` and `exports` do the work."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from service.errors import (
    InvalidRequest,
    JobStateConflict,
    Overloaded,
    RequestError,
    ResultNotHere,
    Unavailable,
    UnsupportedMediaType,
)
from service.features.jobs.service import Jobs, new_id
from service.features.transfers.exports import KIND as EXPORT
from service.features.transfers.imports import KIND as IMPORT
from service.features.transfers.parquet import MISSING, SUFFIX, is_readable
from service.features.transfers.sources import Stamp, find
from service.features.transfers.spool import BLOCK_BYTES, Spool
from service.settings import Jobs as JobSettings
from service.store.jobs import Job, NewJob

UPLOADS_AT_ONCE = 8


class Transfers:
    """Queues imports and exports, and finds what exports wrote."""

    def __init__(self, jobs: Jobs, spool: Spool, settings: JobSettings) -> None:
        """Queue by `jobs`, with files in `spool`."""
        self._jobs = jobs
        self._spool = spool
        self._settings = settings
        self._uploads = 0
        self._submitting: set[asyncio.Task[Job]] = set()

    async def receive(
        self, parts: AsyncIterator[bytes], key_id: str, *, parquet: bool = False
    ) -> Job:
        """Queue an import of what is received now; it is on disk when this returns.

        Args:
            parts: of lines, or of a Parquet file.
            key_id: who asks for it, for the audit log.
            parquet: whether it is one.

        Raises:
            UnsupportedMediaType: it is, and none can be read here.
            TooManyJobs, SpoolFull, Overloaded: there is no room.
            StoreUnavailable: the store does not answer.
        """
        if parquet and not is_readable():
            raise UnsupportedMediaType(MISSING)
        await self._jobs.check_room()
        if self._uploads >= UPLOADS_AT_ONCE:
            raise Overloaded(f"{UPLOADS_AT_ONCE} uploads are being received already", 5)
        job_id, block = new_id(), bytearray()
        self._uploads += 1
        try:
            with self._spool.receiving(job_id) as upload:
                async for part in parts:
                    block += part
                    if len(block) >= BLOCK_BYTES:
                        await asyncio.to_thread(upload.write, bytes(block))
                        block.clear()
                await asyncio.to_thread(upload.write, bytes(block))
                await asyncio.to_thread(upload.keep)
        finally:
            self._uploads -= 1
        return await self._submit(job_id, IMPORT, {"parquet": parquet, "key_id": key_id})

    async def import_file(self, path: str, key_id: str) -> Job:
        """Queue an import of a file below the folder that the settings name; see `receive`.

        Raises:
            InvalidRequest: there is no such file, or it may not be read.
            TooManyJobs: too many jobs are queued or kept.
            StoreUnavailable: the store does not answer.
        """

        def look() -> Stamp:
            return Stamp.of(find(self._settings.import_dir, path).stat())

        stamp = await asyncio.to_thread(look)
        parquet = path.endswith(SUFFIX)
        if parquet and not is_readable():
            raise InvalidRequest.of("/path", MISSING)
        asked = {"path": path, "stamp": asdict(stamp), "parquet": parquet, "key_id": key_id}
        return await self._submit(new_id(), IMPORT, asked)

    async def export(self, wanted: Mapping[str, Any], key_id: str) -> Job:
        """Queue an export of all stored streamers that a filter lets through, as JSON has it.

        `key_id` is who asks for it, for the audit log.

        Raises:
            TooManyJobs: too many jobs are queued or kept.
            StoreUnavailable: the store does not answer.
        """
        return await self._submit(new_id(), EXPORT, {"filter": wanted, "key_id": key_id})

    async def result(self, job_id: str) -> Path:
        """The file that an export wrote.

        Raises:
            JobNotFound: there is no such job.
            JobStateConflict: it is no export, or it has not succeeded.
            ResultNotHere: another replica has it, or it is lost.
        """
        job = await self._jobs.get(job_id)
        if job.kind != EXPORT:
            raise JobStateConflict(f"an {job.kind} has no file: its result is in the job itself")
        if job.state != "succeeded":
            raise JobStateConflict(f"the job is {job.state}: only one that succeeded has a result")
        path = self._spool.result(job_id, job.token)
        if job.place != self._spool.place:
            raise ResultNotHere(
                f"the result lies in the spool {job.place!r}, and this replica has "
                f"{self._spool.place!r}: ask that one, or let all share STREAMER_JOBS__SPOOL_DIR"
            )
        if not await asyncio.to_thread(path.is_file):
            raise ResultNotHere("the file was removed from the spool: export again")
        return path

    async def _submit(self, job_id: str, kind: str, asked: Mapping[str, Any]) -> Job:
        """Queue a job, also if whoever asked for it leaves meanwhile."""
        new = NewJob(job_id, kind, self._spool.place, json.dumps(asked).encode())
        submitting = asyncio.create_task(self._queue(new))
        self._submitting.add(submitting)
        submitting.add_done_callback(self._submitting.discard)
        return await asyncio.shield(submitting)

    async def _queue(self, new: NewJob) -> Job:
        try:
            return await self._jobs.submit(new)
        except (RequestError, Unavailable) as error:
            # A store that did not answer may have the job: its files go in time if not.
            if error.code != "store_unavailable":
                await asyncio.to_thread(self._spool.remove, new.job_id)
            raise
