"""Jobs that write many streamers, from a file of lines.

A chunk of lines and the progress past it are written in one step of the store: whenever the process
dies, the next one continues behind the last chunk that was written, and nothing is written or
counted twice. Profiles that are stored like this already are left alone.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from service.engine.work.lanes import Lane, Lanes
from service.errors import InputChanged, ServiceError
from service.features.jobs.runner import RunningJob, persist
from service.features.streamers.lines import CHUNK_BYTES, CHUNK_LINES, LineReader, short_problem
from service.features.streamers.write_pipeline import Prepared, WritePipeline
from service.features.transfers.sources import Content, Source, Stamp, changed, find
from service.features.transfers.spool import Spool
from service.settings import Jobs as JobSettings
from service.settings import Limits
from service.store.jobs import Job, JobStore, Settled

KIND = "import"
SHOWN_REFUSED = 20
"""Refused lines that the result shows with their errors."""


class ImportJobs:
    """The work of imports."""

    def __init__(
        self,
        writes: WritePipeline,
        lanes: Lanes,
        spool: Spool,
        limits: Limits,
        settings: JobSettings,
        model_version: str,
    ) -> None:
        """Write by `writes` what is in the spool or below the folder that settings name."""
        self._writes = writes
        self._lanes = lanes
        self._spool = spool
        self._limits = limits
        self._settings = settings
        self._model_version = model_version

    async def run(self, job: RunningJob) -> Mapping[str, Any]:
        """Write all lines from the checkpoint on; see `service.features.jobs.runner.Kind`."""
        source = self._source(job)
        content = await persist(lambda: self._lanes.run_in_slices(source.look(), Lane.BULK))
        state = job.checkpoint
        if not state:
            name, asked = job.input.get("path", "the upload"), job.input.get("stamp")
            if asked is not None and Stamp(**asked) != content.stamp:
                raise changed(name)
            state = {
                "content": content.dump(),
                "at": 0,
                "lines": 0,
                "unchanged": 0,
                "without_content": 0,
                "refused": 0,
                "refused_lines": [],
            }
            await job.advance(state, 0, content.lines)
        elif Content.load(state["content"]) != content:
            raise changed(job.input.get("path", "the upload"))
        reader = LineReader(self._limits, self._lanes)
        while chunk := await self._next(source, state, content):
            lines, at = chunk
            state = await self._write(job, reader, state, lines, at)
        now = await job.now()
        return {
            "lines": state["lines"],
            "created": now.created,
            "updated": now.updated,
            "unchanged": state["unchanged"],
            "refused": state["refused"],
            "without_content": state["without_content"],
            "refused_lines": state["refused_lines"],
            "sequence": now.sequence,
            "model_version": self._model_version,
            "sha256": content.sha256,
        }

    async def tidy(self, job: Job, state: Settled) -> None:
        """Remove an upload that was imported; one that failed may be tried again."""
        if state == "succeeded":
            await asyncio.to_thread(self._spool.remove, job.job_id)

    async def sweep(self, store: JobStore) -> None:
        """Remove the files of jobs that are not kept any more, of all kinds."""
        old = await asyncio.to_thread(self._spool.old_jobs)
        for job_id, is_known in zip(old, await store.known(old), strict=True):
            if not is_known:
                await asyncio.to_thread(self._spool.remove, job_id)

    def _source(self, job: RunningJob) -> Source:
        limit = self._limits.body_limit_bytes
        path = job.input.get("path")
        if path is None:
            return Source(self._spool.upload(job.job.job_id), "the upload", limit)
        try:
            return Source(find(self._settings.import_dir, path), path, limit)
        except ServiceError as error:
            raise InputChanged(error.detail) from error

    async def _next(
        self, source: Source, state: Mapping[str, Any], content: Content
    ) -> tuple[list[bytes], int] | None:
        """The next lines, and where those after them begin; None at the end."""
        at: int = state["at"]
        lines, end = await persist(
            lambda: self._lanes.run(
                lambda: source.read(at, content.stamp, CHUNK_LINES, CHUNK_BYTES), Lane.BULK
            )
        )
        return (lines, end) if lines else None

    async def _write(
        self,
        job: RunningJob,
        reader: LineReader,
        state: Mapping[str, Any],
        lines: list[bytes],
        at: int,
    ) -> dict[str, Any]:
        """Write a chunk; the state behind it."""
        first: int = state["lines"] + 1
        profiles, refused = await persist(lambda: reader.read(list(enumerate(lines, first))))
        numbers, given = list(profiles), list(profiles.values())
        prepared = await persist(lambda: self._writes.prepare(given, skip_unchanged=True))
        wrong = {n: (None, error) for n, error in refused.items()}
        for place, settled in prepared.settled.items():
            if isinstance(settled, ServiceError):
                wrong[numbers[place]] = (given[place].streamer_id, settled)
        shown = list(state["refused_lines"])
        for number in sorted(wrong)[: SHOWN_REFUSED - len(shown)]:
            streamer_id, error = wrong[number]
            known = {} if streamer_id is None else {"streamer_id": streamer_id}
            shown.append({"line": number, **known, "error": short_problem(error)})
        done = state["lines"] + len(lines)
        after = {
            **state,
            "at": at,
            "lines": done,
            "unchanged": state["unchanged"]
            + sum(not isinstance(s, ServiceError) for s in prepared.settled.values()),
            "without_content": state["without_content"] + _without_content(prepared),
            "refused": state["refused"] + len(wrong),
            "refused_lines": shown,
        }
        if prepared.encoded:
            await job.advance_with(
                lambda step: self._writes.commit(prepared, step), after, state["lines"], done
            )
        else:
            await job.advance(after, done)
        return after


def _without_content(prepared: Prepared) -> int:
    return sum(item.encoded is None for item in prepared.encoded.values())
