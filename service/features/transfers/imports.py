"""Jobs that write many streamers, from a file of lines.

A chunk of lines and the progress past it are written in one step of the store: whenever the process
dies, the next one continues behind the last chunk that was written, and nothing is written or
counted twice. Profiles that are stored like this already are left alone.
"""

import asyncio
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from model_export.contract.bundle import Manifest
from model_export.contract.streamer import StreamerProfile
from service.engine.encoding.pipeline import EncodedProfile
from service.engine.work.lanes import Lane, Lanes
from service.errors import InputChanged, InvalidRequest, ServiceError
from service.features.jobs.runner import Kind, RunningJob, persist
from service.features.streamers.both_models import NotForBoth
from service.features.streamers.lines import CHUNK_BYTES, CHUNK_LINES, LineReader, short_problem
from service.features.streamers.outcomes import Prepared, Unchanged
from service.features.streamers.write_pipeline import WritePipeline
from service.features.transfers.encoded import (
    LINE_FACTOR,
    EncodedReader,
    check_header,
    check_model,
    is_header,
)
from service.features.transfers.media_patience import MediaPatience
from service.features.transfers.record import JobRecord
from service.features.transfers.sources import Content, Source, Stamp, changed, find
from service.files.encoded import about_in
from service.files.parquet import write_lines
from service.files.spool import Spool
from service.settings import Jobs as JobSettings
from service.settings import Limits
from service.store.jobs import Job, JobStore, Settled

KIND = "import"
SHOWN_REFUSED = 20
"""Refused lines that the result shows with their errors."""
_ENCODED_LINES = 64
"""Lines that are written together where they need not be encoded."""
_Settled = Mapping[int, EncodedProfile | Unchanged | ServiceError]


@dataclass(frozen=True)
class _State:
    """The checkpoint; what was created and updated is counted by the store.

    Attributes:
        content: of the file of lines, for JSON.
        token: of the lease under which the lines were made from Parquet; 0 if they came as such.
        is_encoded: whether the profiles come with their vectors, behind a first line of metadata.
        at: byte where the next line begins.
        lines: how many come before.
        unchanged: of these, profiles that were stored like this already.
        without_content: written ones that show nothing usable.
        refused: lines that were not written.
        refused_lines: the first of them, with their errors.
    """

    content: dict[str, Any]
    token: int = 0
    is_encoded: bool = False
    at: int = 0
    lines: int = 0
    unchanged: int = 0
    without_content: int = 0
    refused: int = 0
    refused_lines: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


class ImportJobs(Kind):
    """The work of imports."""

    def __init__(
        self,
        writes: WritePipeline,
        lanes: Lanes,
        spool: Spool,
        limits: Limits,
        settings: JobSettings,
        manifest: Manifest,
        record: JobRecord,
    ) -> None:
        """Write by `writes`, for the model of `manifest`, what is in the spool or the folder."""
        self._writes = writes
        self._lanes = lanes
        self._spool = spool
        self._limits = limits
        self._settings = settings
        self._manifest = manifest
        self._record = record
        self._plain = LineReader(limits, lanes)
        self._encoded = EncodedReader(manifest, limits, lanes)

    async def run(self, job: RunningJob) -> Mapping[str, Any]:
        """Write all lines from the checkpoint on; see `service.features.jobs.runner.Kind`."""
        source, state, content = await self._begin(job)
        patience = MediaPatience()
        while chunk := await self._next(source, state, content):
            lines, at = chunk
            state = await self._write(job, state, lines, at, patience)
        now = await job.now()
        return {
            "lines": state.lines,
            "created": now.created,
            "updated": now.updated,
            "unchanged": state.unchanged,
            "refused": state.refused,
            "without_content": state.without_content,
            "refused_lines": state.refused_lines,
            "sequence": now.sequence,
            "model_version": self._manifest.model_version,
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

    async def _begin(self, job: RunningJob) -> tuple[Source, _State, Content]:
        """What is read, the state of the checkpoint or a new one, and the content as it must be.

        Raises:
            InputChanged: what is read is not what was asked for, or read before.
            InvalidRequest: it is no Parquet file, and should be; or it was encoded by another model
                than the one served now, or is not encoded as was said.
        """
        name: str = job.input.get("path", "the upload")
        if job.checkpoint:
            state = _State(**job.checkpoint)
            source = self._source(job, state.token)
            content = await self._look(source)
            if Content.load(state.content) != content:
                raise changed(name)
            if state.is_encoded:  # another model may have been promoted since the first attempt
                check_header((await self._first_line(source, content))[0], self._manifest)
            return source, state, content
        token, source, is_encoded = 0, self._source(job), bool(job.input.get("encoded"))
        stamp, asked = await asyncio.to_thread(source.stamp), job.input.get("stamp")
        is_retried = job.job.is_retried  # it takes the file as it is by then
        if not is_retried and asked is not None and Stamp(**asked) != stamp:
            raise changed(name)
        if job.input.get("parquet"):
            token = job.job.token
            await asyncio.to_thread(self._spool.remove_lines, job.job.job_id, token)
            lines = self._spool.lines(job.job.job_id, token)
            await self._convert(source, stamp, lines, is_encoded)
            source = self._source(job, token)
        content = await self._look(source)
        state = _State(content.dump(), token, is_encoded=is_encoded)
        try:
            state = await self._behind_header(source, state, content)
        except InvalidRequest:  # no attempt goes on with these lines
            await asyncio.to_thread(self._spool.remove_lines, job.job.job_id, token)
            raise
        await job.advance(asdict(state), 0, content.lines - (state.at > 0))
        return source, state, content

    async def _behind_header(self, source: Source, state: _State, content: Content) -> _State:
        """The state behind the line that says by which model profiles were encoded.

        Raises:
            InvalidRequest: it is another model, or they are encoded and should not be, or reversed.
        """
        header, at = await self._first_line(source, content)
        if state.is_encoded:
            check_header(header, self._manifest)
            return replace(state, at=at)
        if is_header(header):
            raise InvalidRequest.of(
                "/encoded", "must be true: the profiles of this file come with their vectors"
            )
        return state

    async def _first_line(self, source: Source, content: Content) -> tuple[bytes, int]:
        """The first line, and where the next one begins."""
        lines, end = await persist(
            lambda: self._lanes.run(lambda: source.read(0, content.stamp, 1, 1), Lane.BULK)
        )
        return b"".join(lines), end

    async def _look(self, source: Source) -> Content:
        return await persist(lambda: self._lanes.run_in_slices(source.look(), Lane.BULK))

    async def _convert(self, source: Source, stamp: Stamp, target: Path, is_encoded: bool) -> None:
        """Make lines of a Parquet file, unless its metadata name another model.

        Raises:
            InvalidRequest: they do, or it is no Parquet file.
        """

        def write(file: BinaryIO) -> Generator[None, None, None]:
            if is_encoded and (found := about_in(file)) is not None:
                check_model(found, self._manifest)
            yield from write_lines(file, target, self._spool)

        await persist(lambda: self._lanes.run_in_slices(source.convert(write, stamp), Lane.BULK))

    def _source(self, job: RunningJob, token: int = 0) -> Source:
        limit = self._limits.body_limit_bytes
        if job.input.get("encoded"):
            limit *= LINE_FACTOR
        if token:
            return Source(self._spool.lines(job.job.job_id, token), "the upload", limit)
        path = job.input.get("path")
        if path is None:
            return Source(self._spool.upload(job.job.job_id), "the upload", limit)
        try:
            return Source(find(self._settings.import_dir, path), path, limit)
        except ServiceError as error:
            raise InputChanged(error.detail) from error

    async def _next(
        self, source: Source, state: _State, content: Content
    ) -> tuple[list[bytes], int] | None:
        """The next lines, and where those after them begin; None at the end."""
        most = _ENCODED_LINES if state.is_encoded else CHUNK_LINES
        lines, end = await persist(
            lambda: self._lanes.run(
                lambda: source.read(state.at, content.stamp, most, CHUNK_BYTES), Lane.BULK
            )
        )
        return (lines, end) if lines else None

    async def _prepare(
        self, job: RunningJob, state: _State, lines: list[bytes], patience: MediaPatience
    ) -> tuple[dict[int, StreamerProfile], dict[int, ServiceError], Prepared]:
        """Profiles, and what is wrong with other lines, by number; and what is to be written."""
        numbered = list(enumerate(lines, state.lines + 1))
        skip = bool(job.input.get("skip_unchanged", True))
        if state.is_encoded:
            items, refused = await persist(lambda: self._encoded.read(numbered))
            given = list(items.values())
            prepared = await persist(
                lambda: self._writes.prepare_encoded(given, skip_unchanged=skip)
            )
            return {number: item.profile for number, item in items.items()}, refused, prepared
        profiles, refused = await persist(lambda: self._plain.read(numbered))
        shown = list(profiles.values())

        async def encode(places: Sequence[int]) -> _Settled:
            # One by itself may look unchanged where another line of its id is to be written.
            is_all = len(places) == len(shown)
            some = [shown[i] for i in places]
            found = await self._writes.prepare(some, skip_unchanged=skip and is_all)
            return {places[i]: each for i, each in (found.settled | found.encoded).items()}

        done = sorted((await patience.encoded(shown, encode)).items())
        encoded = {i: each for i, each in done if isinstance(each, EncodedProfile)}
        settled = {i: each for i, each in done if not isinstance(each, EncodedProfile)}
        return profiles, refused, Prepared(encoded, settled, {})

    async def _write(
        self, job: RunningJob, state: _State, lines: list[bytes], at: int, patience: MediaPatience
    ) -> _State:
        """Write a chunk; the state behind it."""
        profiles, refused, prepared = await self._prepare(job, state, lines, patience)
        given = list(profiles.values())
        if prepared.encoded:
            await self._record.note(job, [given[place].streamer_id for place in prepared.encoded])
        while True:
            after = _behind(state, at, len(lines), profiles, refused, prepared)
            if not prepared.encoded:
                await job.advance(asdict(after), after.lines)
                return after
            try:
                await job.advance_with(
                    partial(self._writes.commit, prepared),
                    asdict(after),
                    state.lines,
                    after.lines,
                )
            except NotForBoth as error:  # of what is left nothing is wrong with the next attempt
                prepared = prepared.without(error.errors)
            else:
                return after


def _behind(
    state: _State,
    at: int,
    lines: int,
    profiles: Mapping[int, StreamerProfile],
    refused: Mapping[int, ServiceError],
    prepared: Prepared,
) -> _State:
    """The state behind a chunk of so many lines, which ends at byte `at`, once it is written."""
    numbers, given = list(profiles), list(profiles.values())
    wrong: dict[int, tuple[str | None, ServiceError]] = {
        number: (None, error) for number, error in refused.items()
    }
    for place, settled in prepared.settled.items():
        if isinstance(settled, ServiceError):
            wrong[numbers[place]] = (given[place].streamer_id, settled)
    room = SHOWN_REFUSED - len(state.refused_lines)
    return replace(
        state,
        at=at,
        lines=state.lines + lines,
        unchanged=state.unchanged
        + sum(isinstance(settled, Unchanged) for settled in prepared.settled.values()),
        without_content=state.without_content
        + sum(item.encoded is None for item in prepared.encoded.values()),
        refused=state.refused + len(wrong),
        refused_lines=state.refused_lines
        + [_refused(number, *wrong[number]) for number in sorted(wrong)[:room]],
    )


def _refused(number: int, streamer_id: str | None, error: ServiceError) -> dict[str, Any]:
    known = {} if streamer_id is None else {"streamer_id": streamer_id}
    return {"line": number, **known, "error": short_problem(error)}
