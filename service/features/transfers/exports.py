"""Jobs that write stored streamers to a file of the spool, one a line.

Each lease has a file of its own, which begins with what the one before had on disk at the
checkpoint: a process that lost its lease and goes on can't damage what another one writes.
"""

import asyncio
import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from service.engine.work.lanes import Lane, Lanes
from service.engine.work.large_json import LARGE_BYTES, loads
from service.errors import InputChanged
from service.features.jobs.runner import Kind, RunningJob, persist
from service.features.transfers.record import JobRecord
from service.files.spool import BLOCK_BYTES, Spool, no_room, opened, sync_folder
from service.http.schemas import FilterIn
from service.index.base import Facets
from service.index.filters import Filter
from service.scopes import Scope
from service.store.base import StoredProfile, StreamerStore
from service.store.jobs import Job, Settled

KIND = "export"
PAGE = 200
_CHECKPOINT_S = 0.25

LetThrough = Callable[[Filter, Sequence[tuple[str, Facets]]], tuple[list[bool], list[str]]]
"""Whom a filter lets through, and the fields of it that nobody has."""


@dataclass(frozen=True)
class _State:
    """The checkpoint.

    Attributes:
        after: id of the last streamer that was looked at.
        size: bytes that were on disk then.
        looked: streamers that were looked at.
        streamers: of these, those that were written.
        token: of the lease whose file has those bytes.
        unknown: fields of the filter that none of them has.
    """

    after: str = ""
    size: int = 0
    looked: int = 0
    streamers: int = 0
    token: int = 0
    unknown: list[str] = field(default_factory=list[str])


class ExportJobs(Kind):
    """The work of exports."""

    scope: Scope = "streamers:read"

    def __init__(
        self,
        store: StreamerStore,
        lanes: Lanes,
        spool: Spool,
        let_through: LetThrough,
        page_bytes: int,
        record: JobRecord,
    ) -> None:
        """Write from `store` to `spool`, up to `page_bytes` of profiles at a time."""
        self._store = store
        self._lanes = lanes
        self._spool = spool
        self._let_through = let_through
        self._page_bytes = page_bytes
        self._record = record

    async def run(self, job: RunningJob) -> dict[str, Any]:
        """Write all streamers after the checkpoint; see `service.features.jobs.runner.Kind`."""
        wanted = FilterIn.model_validate(job.input["filter"]).domain()
        fields = [c.field for c in (*wanted.must, *wanted.must_not)]
        state = _State(**job.checkpoint) if job.checkpoint else _State(unknown=fields)
        total = await persist(self._store.count)
        job_id, token = job.job.job_id, job.job.token
        remove = partial(self._spool.remove_results, job_id)
        await asyncio.to_thread(remove, token, state.token)
        path, before = (self._spool.result(job_id, of) for of in (token, state.token))
        result = await opened(partial(ResultFile.begin, self._spool, path, before, state.size))
        state = replace(state, token=token)

        async def save() -> None:
            await asyncio.to_thread(result.sync)
            await job.advance(asdict(state), state.looked, max(total, state.looked))
            if result.replaced_bytes:
                await asyncio.to_thread(remove, token - 1)
                result.replaced_bytes = 0

        try:
            loop, is_last = asyncio.get_running_loop(), False
            # At once behind the first page, so that there are two copies for a moment only; not
            # before it: a new checkpoint counts as progress, without which a job is given up.
            saved_at = float("-inf")
            while not is_last:
                state, is_last = await self._page(job, result, wanted, state)
                if is_last or loop.time() - saved_at > _CHECKPOINT_S:
                    await save()
                    saved_at = loop.time()
        finally:
            result.close()
        return {
            "streamers": state.streamers,
            "bytes": state.size,
            "sha256": result.sha256,
            "warnings": [
                f"no stored streamer has the field {name!r} of the filter" for name in state.unknown
            ],
        }

    async def _page(
        self, job: RunningJob, result: "ResultFile", wanted: Filter, state: "_State"
    ) -> tuple["_State", bool]:
        """Write the next page; the state behind it, and whether it was the last."""
        page = await persist(lambda: self._store.page(state.after, PAGE, self._page_bytes))
        chosen, unknown = await self._chosen(page.profiles, wanted)
        if chosen:
            await self._record.note(job, [p.streamer_id for p in chosen])
            block = b"".join(p.profile + b"\n" for p in chosen)
            check = partial(self._spool.check_room, len(block), result.replaced_bytes)
            await asyncio.to_thread(check)
            await asyncio.to_thread(result.append, block)
        after = replace(
            state,
            after=page.next_after or state.after,
            size=result.size,
            looked=state.looked + len(page.profiles),
            streamers=state.streamers + len(chosen),
            unknown=[f for f in state.unknown if f in unknown or not page.profiles],
        )
        return after, page.next_after is None

    async def tidy(self, job: Job, state: Settled) -> None:
        """Remove what other leases wrote; of an export that failed, it may be continued."""
        if state == "succeeded":
            await asyncio.to_thread(self._spool.remove_results, job.job_id, job.token - 1)

    async def _chosen(
        self, profiles: Sequence[StoredProfile], wanted: Filter
    ) -> tuple[Sequence[StoredProfile], list[str]]:
        """Profiles that the filter lets through, and the fields of it that none of them has."""
        if not wanted:
            return profiles, []

        def choose() -> tuple[list[StoredProfile], list[str]]:
            allowed, unknown = self._let_through(
                wanted, [(p.streamer_id, _facets(p.profile)) for p in profiles]
            )
            return [p for p, yes in zip(profiles, allowed, strict=True) if yes], unknown

        return await persist(lambda: self._lanes.run(choose, Lane.BULK))


class ResultFile:
    """The file that an export writes, and its digest.

    Attributes:
        size: bytes that were written.
        replaced_bytes: of the file that it began with, until that one is removed.
    """

    def __init__(self, path: Path) -> None:
        with no_room():
            self._file: BinaryIO = path.open("wb")
        self._folder = path.parent
        self._digest = hashlib.sha256()
        self.size = 0
        self.replaced_bytes = 0

    @classmethod
    def begin(cls, spool: Spool, path: Path, before: Path, size: int) -> "ResultFile":
        """Begin with the first bytes of the file of the lease before.

        Raises:
            InputChanged: they are gone.
            SpoolFull: there is no room for them. No new file is left, as with any error.
        """
        result = cls(path)
        try:
            if size:
                result._copy(spool, before, size)
        except BaseException:
            path.unlink(missing_ok=True)
            result.close()
            raise
        return result

    def _copy(self, spool: Spool, before: Path, size: int) -> None:
        with contextlib.suppress(FileNotFoundError), before.open("rb") as file:
            self.replaced_bytes = os.fstat(file.fileno()).st_size
            spool.check_room(size, self.replaced_bytes)
            while block := file.read(min(BLOCK_BYTES, size - self.size)):
                self.append(block)
        if self.size != size:
            raise InputChanged(
                "what this export had written is gone from the spool; retry it to begin anew"
            )

    @property
    def sha256(self) -> str:
        """Hex digest of what was written."""
        return self._digest.hexdigest()

    def append(self, block: bytes) -> None:
        """Write a block.

        Raises:
            SpoolFull: the disk is full.
        """
        with no_room():
            self._file.write(block)
        self._digest.update(block)
        self.size += len(block)

    def sync(self) -> None:
        """Make what was written durable.

        Raises:
            SpoolFull: the disk is full.
        """
        with no_room():
            self._file.flush()
            os.fsync(self._file.fileno())
            sync_folder(self._folder)

    def close(self) -> None:
        """Write no more."""
        with no_room():
            self._file.close()


def _facets(profile: bytes) -> Facets:
    """What filters read of a stored profile."""
    text = profile.decode()
    fields: dict[str, Any] = (json.loads if len(profile) < LARGE_BYTES else loads)(text)
    names = ("language", "category", "tags", "attributes")
    return {name: fields[name] for name in names if fields.get(name) is not None}
