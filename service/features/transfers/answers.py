"""Jobs that write the long answer to a question to a file of the spool."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any

from service.features.jobs.runner import Kind, RunningJob, persist
from service.features.jobs.told import Told
from service.features.transfers.exports import ResultFile
from service.files.spool import Spool, opened
from service.scopes import Scope
from service.store.jobs import Job, Settled

_PROGRESS_S = 0.5
Answer = Callable[[Mapping[str, Any], Told], AsyncIterator[bytes]]
"""Makes the lines of an answer, in parts, of the `question` that a job has, with its `scopes`."""


class AnswerJobs(Kind):
    """The work of such jobs; one that is continued asks again, as of then."""

    scope: Scope = "search"

    def __init__(self, answer: Answer, spool: Spool) -> None:
        """Write what `answer` gives to `spool`."""
        self._answer = answer
        self._spool = spool

    async def run(self, job: RunningJob) -> Mapping[str, Any]:
        """Write the whole answer; see `service.features.jobs.runner.Kind`."""
        return await persist(lambda: self._write(job))

    async def tidy(self, job: Job, state: Settled) -> None:
        """Keep what the last lease wrote, of a job that succeeded."""
        last = job.token - 1 if state == "succeeded" else job.token
        await asyncio.to_thread(self._spool.remove_results, job.job_id, last)

    async def _write(self, job: RunningJob) -> Mapping[str, Any]:
        loop, lines, told_at = asyncio.get_running_loop(), 0, float("-inf")
        told = Told()
        form = job.input["question"].get("format", "ndjson")
        job_id, token = job.job.job_id, job.job.token
        await asyncio.to_thread(self._spool.remove_results, job_id, token - 1)
        path = self._spool.result(job_id, token)
        file = await opened(partial(ResultFile, path))
        try:
            async for part in self._answer(job.input, told):
                await asyncio.to_thread(self._spool.check_room, len(part))
                await asyncio.to_thread(file.append, part)
                lines += part.count(b"\n") if form != "xlsx" else 0
                if loop.time() - told_at >= _PROGRESS_S:
                    told_at = loop.time()
                    await job.advance({}, lines)
            await asyncio.to_thread(file.sync)
        finally:
            file.close()  # in no thread, which would not begin if the job is cancelled again
        await job.advance({}, lines, lines)
        counted: dict[str, Any] = {"lines": lines, "bytes": file.size, "sha256": file.sha256}
        counted["streamers"] = told.streamers
        if told.missing:
            counted["incomplete_because"] = "; ".join(told.missing)
        if told.warnings:
            counted["warnings"] = told.warnings
        return counted if form == "ndjson" else {**counted, "format": form}
