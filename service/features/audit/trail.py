"""The audit log of this process: a queue, and one writer that appends it to the hash chain."""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from service.errors import AuditUnavailable, ServiceError, StartupError, in_one_line
from service.features.audit.chain import FOLDER, ChainWriter, Head
from service.features.audit.housekeeping import Housekeeping
from service.features.audit.refusals import Refusals
from service.http.auth.audit import REFUSALS, Entry
from service.settings import Audit
from service.store.anchors import Anchor, AnchorStore

_log = logging.getLogger(__name__)
BATCH_S = 0.08
"""Questions wait so long for others, so that they are in the file within a tenth of a second."""
_SUMMARY_S = 10.0
_RETRY_S = 1.0
_MOST_WAITING = 20_000
"""Entries that wait for a file that can't be written; beyond, they are counted as lost."""


class AuditTrail:
    """An `AuditLog` in files, with anchors in the store.

    Attributes:
        most_ids: ids of one entry.
        folder: of the files.
        refusals: those that are counted and not listed.
        written: entries in the files, since the start.
        failures: writings that failed.
        lost: entries that will not be in the files.
    """

    def __init__(
        self,
        data_dir: Path,
        settings: Audit,
        anchors: AnchorStore,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Write nothing before it is entered.

        Args:
            data_dir: the files are in a folder below.
            settings: of the log.
            anchors: where heads of the chain are anchored.
            now: the time, in seconds since 1970.
        """
        self.most_ids = settings.ids
        self.folder = data_dir / FOLDER
        self._settings = settings
        self._anchors = anchors
        self._now = now
        self._writer = ChainWriter(
            self.folder, settings.file_bytes, settings.file_hours * 3600, sync=settings.sync
        )
        self._housekeeping = Housekeeping(settings, now)
        self.written = self.failures = self.lost = 0
        self.refusals = Refusals(settings.refusals_per_s, now())
        self._waiting: list[Entry | Mapping[str, Any]] = []
        self._written: list[asyncio.Future[None]] = []  # of the batch that waits
        self._lost = 0
        self._failure: str | None = None
        self._anchored = Head()
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "audit")  # the writer is for one thread
        self._tasks: list[asyncio.Task[None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_stopping = False

    def note(self, entry: Entry) -> None:
        """Have an entry written within a tenth of a second; see `AuditLog.note`."""
        if (entry.key_id is None or entry.status in REFUSALS) and not self.refusals.admits(entry):
            return
        self._put(entry)
        if len(self._waiting) == 1 and self._loop is not None:
            self._loop.call_later(BATCH_S, self._wake.set)

    def _put(self, entry: Entry | Mapping[str, Any]) -> None:
        if len(self._waiting) < _MOST_WAITING:
            self._waiting.append(entry)
        else:
            self._lost += 1
            self.lost += 1

    async def write(self, entries: Sequence[Entry | Mapping[str, Any]]) -> None:
        """Write entries, with all that wait; see `AuditLog.write`.

        Raises:
            AuditUnavailable: they are not in the file, and the settings do not go on without.
        """
        for entry in entries:
            self._put(entry)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._written.append(done)
        self._wake.set()
        await done

    @property
    def waiting(self) -> int:
        """Entries that are not in the files yet."""
        return len(self._waiting)

    def check(self) -> None:
        """Refuse what could not be written.

        Raises:
            AuditUnavailable: the log can't be written, and the settings do not go on without.
        """
        if self._failure is not None and self._settings.on_failure == "refuse":
            raise AuditUnavailable(
                f"{self._failure}: free space on its disk, or correct its rights"
            )

    def trouble(self) -> str | None:
        """Why the log can't be written, for people; None while it can."""
        return self._failure

    async def __aenter__(self) -> Self:
        """Begin the chain, and look after those that ended without an end.

        Raises:
            StartupError: the log can't be written.
        """
        self._loop = asyncio.get_running_loop()
        try:
            await self._in_thread(self._writer.open)
        except OSError as error:
            self._thread.shutdown()
            raise StartupError(f"the audit log can't be written: {in_one_line(error)}") from error
        self._put({"kind": "begin", "at": self._now(), "process": os.getpid()})
        await self._keep_house()
        self._tasks = [
            asyncio.create_task(self._run(), name="audit log"),
            asyncio.create_task(self._anchor_often(), name="anchors of the audit log"),
        ]
        await self.write([])
        await self._anchor()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Write what waits, end the chain, and anchor its end."""
        self._is_stopping = True
        self._wake.set()
        for task in self._tasks[1:]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.refusals.has_counted:
            self._put(self.refusals.summary(self._now()))
        self._put({"kind": "end", "at": self._now()})
        await self._flush()
        await self._anchor(is_closed=self._failure is None)
        await self._in_thread(self._writer.close)
        self._thread.shutdown()

    async def _run(self) -> None:
        """Write what waits, as soon as somebody waits for it."""
        while not self._is_stopping:
            try:
                async with asyncio.timeout(_SUMMARY_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            if self.refusals.has_counted and self._is_summary_due():
                self._put(self.refusals.summary(self._now()))
            file = self._writer.head.file
            await self._flush()
            if self._writer.head.file != file:
                await self._anchor()
                await self._keep_house()
                await self._flush()

    def _is_summary_due(self) -> bool:
        # One is also due after the clock was set back.
        return not 0 <= self._now() - self.refusals.since < _SUMMARY_S

    async def _flush(self) -> None:
        """Write what waits; tell those who wait for it."""
        entries, self._waiting = self._waiting, []
        written, self._written = self._written, []
        if self._lost:
            entries.append({"kind": "lost", "at": self._now(), "count": self._lost})
        lost, self._lost = self._lost, 0
        try:
            if entries:
                await self._in_thread(self._append, entries)
                self.written += len(entries)
            if self._failure is not None:
                _log.warning("the audit log in %s is written again", self.folder)
            self._failure = None
        except OSError as error:
            self.failures += 1
            reason = error.strerror or type(error).__name__
            if self._failure is None:
                _log.error("the audit log in %s can't be written: %s", self.folder, reason)
            self._failure = f"the audit log can't be written ({reason})"
            self._lost += lost
            later = [e for e in entries if isinstance(e, Entry) or e["kind"] != "lost"]
            self._waiting = later + self._waiting
            assert self._loop is not None
            self._loop.call_later(_RETRY_S, self._wake.set)
        for one in written:
            if one.done():
                continue  # its request was cancelled
            try:
                self.check()
                one.set_result(None)
            except AuditUnavailable as error:
                one.set_exception(
                    AuditUnavailable(f"{error.detail}; a write may have been done, read it again")
                )

    def _append(self, entries: Sequence[Entry | Mapping[str, Any]]) -> None:
        self._writer.append([_fields(e) if isinstance(e, Entry) else e for e in entries])

    async def _anchor_often(self) -> None:
        while True:
            await asyncio.sleep(self._settings.anchor_s)
            await self._anchor()

    async def _anchor(self, *, is_closed: bool = False) -> None:
        """Tell the store how far the chain has come; what fails is told with the next one."""
        head = self._writer.head
        if head.number == self._anchored.number:
            return
        point = (head.number, head.digest)
        anchor = Anchor(self._writer.place, (point,), self._now(), is_closed)
        try:
            await self._anchors.put({self._writer.chain: anchor})
            self._anchored = head
        except ServiceError as error:
            _log.warning("the audit log is not anchored: %s", error.detail)

    async def _keep_house(self) -> None:
        """Close chains of processes that were killed, and remove what is old enough."""
        own = self._writer
        try:
            known = await self._anchors.all()
            # One clock that is far ahead removes nothing.
            now = min(self._now(), await self._anchors.now())
        except (ServiceError, ValueError) as error:
            _log.warning("the anchors of the audit log can't be read: %s", error)
            return  # with the next file
        try:
            gaps = await self._in_thread(self._housekeeping.gaps, own, known, now)
            for gap in gaps:
                self._put(gap.fields)
            await self._anchors.put({gap.chain: gap.anchor for gap in gaps})
            await self._anchors.remove(self._housekeeping.left_behind(own, known, now))
            removed = await self._in_thread(self._housekeeping.old_files, own, now)
            if removed and await self._has_written([file.fields for file in removed]):
                gone = await self._in_thread(self._housekeeping.remove, own, removed)
                await self._anchors.remove(gone)
        except (OSError, ServiceError) as error:
            _log.warning("old files of the audit log are kept: %s", in_one_line(error))

    async def _has_written(self, lines: Sequence[Mapping[str, Any]]) -> bool:
        """Write lines now or not at all; whether they are in the file."""
        self._waiting += lines
        await self._flush()
        if self._failure is None:
            return True
        self._waiting = [entry for entry in self._waiting if entry not in lines]
        return False

    async def _in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)


def _fields(entry: Entry) -> dict[str, Any]:
    """An entry as it is written: without what is not there."""
    fields: dict[str, Any] = {
        "kind": "request",
        "at": round(entry.at, 4),
        "key_id": entry.key_id,
        "method": entry.method,
        "route": entry.route,
        "status": entry.status,
        "request_id": entry.request_id,
    }
    if entry.ids:
        fields["ids"] = entry.ids
    if entry.more_ids:
        fields["more_ids"] = entry.more_ids
    if entry.results is not None:
        fields["results"] = entry.results
    if entry.action is not None:
        fields["action"] = entry.action
    if entry.scope is not None:
        fields["scope"] = entry.scope
    if entry.client is not None:
        fields["client"] = entry.client
    return fields


class NoAuditLog:
    """An `AuditLog` that is turned off."""

    most_ids = 1

    def note(self, entry: Entry) -> None:
        """Forget it."""

    async def write(self, entries: Sequence[Entry | Mapping[str, Any]]) -> None:
        """Forget them."""

    def check(self) -> None:
        """Refuse nothing."""

    def trouble(self) -> str | None:
        """Nothing is wrong."""
        return None


@contextlib.asynccontextmanager
async def opened_audit(
    data_dir: Path, settings: Audit, anchors: AnchorStore
) -> AsyncGenerator[AuditTrail | NoAuditLog, None]:
    """The audit log of a service, as its settings say.

    Raises:
        StartupError: it can't be written.
    """
    if settings.enabled:
        async with AuditTrail(data_dir, settings, anchors) as trail:
            yield trail
    else:
        yield NoAuditLog()
