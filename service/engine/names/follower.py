"""Keeps the file of names equal to the store: all profiles once, then the log, for ever.

Names come after everything else: nothing waits for them, and their work has the least urgent lane.
"""

import asyncio
import contextlib
import logging
import os
import sqlite3
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from service.engine.names.file import Change, NamesFile, Progress, remove_file
from service.engine.names.grams import Texts, texts_of
from service.engine.work.lanes import Lane, Lanes
from service.engine.work.large_json import loads
from service.engine.work.resumable import Resumable
from service.errors import NotYetVisible, Overloaded, Unavailable
from service.store.base import LogEntry, LogGap, Position, StoredProfile, StreamerStore
from service.store.embedded.folder import try_lock
from service.store.trouble import Trouble

_log = logging.getLogger(__name__)
Result = TypeVar("Result")
_RETRY_S = 1.0
_PAGE, _PAGE_BYTES = 500, 4 << 20
_GATHER_S = 0.02
"""So long writes are gathered, to be taken in together."""
_BEHIND = 1000
"""Writes that may be missing without a word: `after_sequence` waits for them."""
_MOST_PROCESSES = 64
"""Processes that share a data folder, each with a file of its own."""
_PURGE_WAIT_MS = 60_000


class Names:
    """The file of one process and what keeps it up to date.

    Attributes:
        file: that is searched; None before there is one.
        sequence: the last sequence number of the store that is in it.
    """

    def __init__(
        self,
        store: StreamerStore,
        lanes: Lanes,
        folder: Path,
        ready: Callable[[], Awaitable[None]],
        head: Callable[[], int | None],
    ) -> None:
        """Nothing is read before `start`.

        Args:
            store: whose log is followed.
            lanes: where the work is done.
            folder: of the file; other processes may use it too.
            ready: returns when there is nothing more urgent at a start.
            head: the last sequence number of the store, as it was a moment ago.
        """
        self._store = store
        self._lanes = lanes
        self._folder = folder
        self._ready = ready
        self._head = head
        self._moved = asyncio.Condition()
        self._writing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._trouble = Trouble()
        self._reading: str | None = "they are read once the index is complete"
        self._lock: int | None = None
        self.file: NamesFile | None = None
        self.sequence = 0

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._begin(self._run(), "names")

    async def stop(self) -> None:
        """End, and close the file."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        async with self._writing:  # a step that a thread is at
            file, self.file = self.file, None
            if file is not None:
                await asyncio.to_thread(file.close)  # after what threads search for
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    @property
    def incomplete_because(self) -> str | None:
        """Why streamers may not be found by their names; None when they are."""
        if self._reading is not None:
            return f"names are not all read yet: {self._reading}"
        if trouble := self._trouble.lasting():
            return f"the newest names may be missing: {trouble}"
        behind = (self._head() or 0) - self.sequence
        if behind > _BEHIND:
            return f"the names of the last {behind} writes may be missing"
        return None

    async def wait_for(self, sequence: int, timeout_ms: int) -> None:
        """Return once the write with this sequence number is in the file.

        Raises:
            NotYetVisible: it is not within the time.
        """
        if self.sequence >= sequence:
            return
        try:
            async with asyncio.timeout(timeout_ms / 1000), self._moved:
                await self._moved.wait_for(lambda: self.sequence >= sequence)
        except TimeoutError:
            raise NotYetVisible(
                f"names are complete up to sequence {self.sequence}, not yet {sequence}"
            ) from None

    async def purge(self) -> None:
        """Have the parts of deleted names removed from the file, in the background.

        Files that processes left behind are removed at once: nobody would take a name out of them.
        """
        await asyncio.to_thread(remove_unused, self._folder)
        file = self.file
        if file is not None:
            async with self._writing:
                await self._lanes.run(file.ask_for_purge, Lane.BULK)
            self._begin(self._purge(file), "names' purge")

    async def _run(self) -> None:
        await self._ready()
        while True:
            try:
                if self.file is None:
                    await self._open_file()
                    assert self.file is not None
                    if await asyncio.to_thread(self.file.is_purge_due):
                        self._begin(self._purge(self.file), "names' purge")
                await self._follow(self.file, await self._complete(self.file))
            except LogGap as gap:
                _log.warning("names are read anew: %s", gap)
                await self._clear()
            except Unavailable as error:
                self._trouble.note(error.detail)
            except (OSError, sqlite3.Error) as error:
                _log.warning("names can't be kept: %s", error)
                self._trouble.note(f"their file can't be used: {error}")
                if isinstance(error, sqlite3.DatabaseError):
                    await self._close_broken(error)
            except Exception as error:  # noqa: BLE001 - or they would silently stand still
                _log.exception("names can't be kept up to date")
                self._trouble.note(f"they can't be kept up to date: {error!r}")
            await asyncio.sleep(_RETRY_S)

    def _begin(self, work: Any, name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open_file(self) -> None:
        """Have the file open, for `stop` to close even if that comes while a thread is at it."""
        opening = asyncio.ensure_future(asyncio.to_thread(self._open))
        try:
            self.file = await asyncio.shield(opening)
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):  # there is nothing to close
                self.file = await opening
            raise

    def _open(self) -> NamesFile:
        """The file that no other process has; call it in a thread.

        Raises:
            OSError, sqlite3.Error: it can't be used.
        """
        if self._lock is not None:
            return NamesFile(self._path)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(_MOST_PROCESSES):
            self._path = self._folder / f"{number}.sqlite"
            lock = self._path.with_suffix(".lock")
            fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if try_lock(fd):
                self._lock = fd
                return NamesFile(self._path)
            os.close(fd)
        raise OSError(f"{self._folder} is in use by {_MOST_PROCESSES} processes")

    async def _complete(self, file: NamesFile) -> Position:
        """Have every streamer in the file; the place from which the log goes on.

        Raises:
            LogGap: the store's history is another one.
            Unavailable: the store does not answer, or too much work waits.
        """
        head = await self._store.position()
        progress = await asyncio.to_thread(file.progress)
        if progress is None:
            progress = Progress(head, "")
        elif progress.place.epoch != head.epoch or progress.place.sequence > head.sequence:
            raise LogGap("the store's history is another one than before")
        place, after = progress
        read, total = 0, await self._store.count()
        while after is not None:
            self._reading = f"{read} of {total} were read since the start"
            page = await self._store.page(after, _PAGE, _PAGE_BYTES)
            after, read = page.next_after, read + len(page.profiles)
            await self._write(file, page.profiles, (), Progress(place, after))
            if after is not None:  # what comes after the last page is followed
                place = await self._catch_up(file, place, after)
        # Not earlier: processes that start together find what they left.
        await asyncio.to_thread(remove_unused, self._folder)
        self._reading = None
        await self._move_to(place.sequence)
        return place

    async def _follow(self, file: NamesFile, place: Position) -> None:
        feed = self._store.follow(place.sequence, place.epoch, place.mark)
        async with contextlib.aclosing(feed):
            self._trouble.note(None)
            async for entries in feed:
                place = await self._take_in(file, entries, place, None)
                await self._move_to(place.sequence)
                await asyncio.sleep(_GATHER_S)

    async def _catch_up(self, file: NamesFile, place: Position, read_to: str) -> Position:
        """Take in what came of streamers that were read while more are to be read.

        Otherwise a log that is short, or from which somebody was erased, would have lost some of it
        once all are read, and they would be read anew, again and again.

        Raises:
            LogGap: it has lost some already.
        """
        head = await self._store.position()
        if (head.epoch, head.sequence) == (place.epoch, place.sequence):
            return place
        feed = self._store.follow(place.sequence, place.epoch, place.mark)
        async with contextlib.aclosing(feed):
            while place.sequence < head.sequence:
                place = await self._take_in(file, await anext(feed), place, read_to)
        return place

    async def _take_in(
        self, file: NamesFile, entries: Sequence[LogEntry], place: Position, read_to: str | None
    ) -> Position:
        """Take in what entries of the log changed, of those up to `read_to`; the place behind."""
        changed = dict.fromkeys(entry.streamer_id for entry in entries)
        ids = [name for name in changed if read_to is None or name <= read_to]
        behind = Position(place.epoch, entries[-1].sequence, entries[-1].mark)
        parts = await self._store.chunks(ids, _PAGE_BYTES)
        for number, part in enumerate(parts, start=1):
            found = await self._store.profiles(part)
            gone = [i for i, p in zip(part, found, strict=True) if p is None]
            stored = [profile for profile in found if profile is not None]
            upto = behind if number == len(parts) else place
            await self._write(file, stored, gone, Progress(upto, read_to))
        return behind

    async def _write(
        self,
        file: NamesFile,
        stored: Sequence[StoredProfile],
        gone: Sequence[str],
        after: Progress,
    ) -> None:
        """Take in what is stored now; a step that has begun ends, whoever is cancelled."""

        def steps() -> Generator[None, None, None]:
            changes = [Change(name, None) for name in gone]
            for profile in stored:
                changes.append(Change(profile.streamer_id, _texts(profile.profile)))
                yield
            yield from file.apply(changes, after)

        async def write() -> None:
            async with self._writing:
                await self._lanes.run_in_slices(steps(), Lane.BULK)

        await asyncio.shield(asyncio.ensure_future(write()))

    async def _clear(self) -> None:
        self._reading = "the store's history is another one than before"
        self.sequence = 0
        if self.file is not None:
            async with self._writing:
                await asyncio.to_thread(self.file.clear)

    async def _close_broken(self, error: sqlite3.DatabaseError) -> None:
        """Have the file opened again, and one that is damaged made anew."""
        async with self._writing:
            file, self.file = self.file, None
            if file is None:
                return
            await asyncio.to_thread(file.close)
            if not isinstance(error, sqlite3.OperationalError):
                await asyncio.to_thread(file.remove)
                self.sequence, self._reading = 0, "their file was damaged"

    async def _purge(self, file: NamesFile) -> None:
        steps, told = Resumable(file.purge()), ""
        while self.file is file:
            try:
                head = await self._store.position()
                await self.wait_for(head.sequence, _PURGE_WAIT_MS)
                while self.file is file:
                    async with self._writing:
                        if await self._step(lambda: next(steps, True)):
                            return
            except Unavailable as error:
                if error.detail != told:
                    _log.warning("deleted names are not removed yet: %s", error)
                told = error.detail
            except sqlite3.Error as error:
                _log.error("deleted names are not removed before the next start: %s", error)
                return
            await asyncio.sleep(_RETRY_S)

    async def _step(self, step: Callable[[], Result]) -> Result:
        """Take a step of a purge, again where it is late: a thread may be at it all the same."""
        while True:
            try:
                return await self._lanes.run(step, Lane.BULK)
            except Overloaded:
                await asyncio.sleep(_RETRY_S)

    async def _move_to(self, sequence: int) -> None:
        async with self._moved:
            self.sequence = sequence
            self._moved.notify_all()


def remove_unused(folder: Path) -> None:
    """Remove the files that no process has open; call it in a thread."""
    for path in folder.glob("*.sqlite"):
        try:
            fd = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if try_lock(fd):
                    remove_file(path)
            finally:
                os.close(fd)
        except OSError as error:
            _log.warning("%s can't be removed: %s", path, error)


def _texts(profile: bytes) -> Texts:
    fields = cast(Mapping[str, Any], loads(profile.decode()))
    return texts_of(fields.get("name"), fields.get("tags", ()), fields.get("bio"))
