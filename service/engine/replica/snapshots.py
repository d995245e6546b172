"""Snapshots of the index: schedule, folder, and checks before use.

A snapshot saves time and nothing else: the store has everything. So one that is damaged, of another
model or of another history is removed and not mended, and no trouble with one stops the service.
"""

import contextlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

from service.files.checksummed import Broken, ChecksummedFolder, Stopped, remove_unfinished
from service.index.base import VectorIndex
from service.index.snapshotting import Snapshotting
from service.store.base import Position
from service.store.embedded.folder import try_lock

_log = logging.getLogger(__name__)
_LOCK = "lock"
_DIGITS = 12
"""Digits of a snapshot's number, which is its folder's name."""


@dataclass(frozen=True)
class Model:
    """Whose vectors an index holds.

    Attributes:
        version: of the model, its width and variant included.
        dim: of embeddings.
        content_dim: of content sketches.
        fingerprint: of how it reads profiles.
    """

    version: str
    dim: int
    content_dim: int
    fingerprint: str


@dataclass(frozen=True)
class Schedule:
    """When a snapshot is written.

    Attributes:
        every_s: at most so often; 0 = never, and none is used.
        changes: after so many writes; fewer are read from the log in a moment.
        from_rows: of fewer streamers an index is built as fast from the store.
        reserve_bytes: what must be free on the disk beside it.
    """

    every_s: float = 60.0
    changes: int = 5000
    from_rows: int = 20_000
    reserve_bytes: int = 256 << 20


@dataclass(frozen=True)
class SnapshotState:
    """State of the last snapshot.

    Attributes:
        sequence: up to which it is complete; None while there is none.
        written_at: when, in seconds since 1970.
        failure: why the last attempt to write one failed, None if it did not.
    """

    sequence: int | None = None
    written_at: float | None = None
    failure: str | None = None


class _Read(NamedTuple):
    """An index read from a snapshot."""

    filled: VectorIndex
    place: Position
    written_at: float


class Snapshots:
    """The snapshots of one process, in a folder that it may share with others.

    Attributes:
        model: whose vectors they hold.
        state: of the last one.
    """

    def __init__(self, folder: Path, model: Model, schedule: Schedule | None = None) -> None:
        """Nothing is read or written yet."""
        self._folder = folder
        self.model = model
        self._schedule = schedule or Schedule()
        self._last: Position | None = None
        self._tried_at: float | None = None
        self._ahead: tuple[Path, Future[_Read]] | None = None
        self._discards = 0
        self.state = SnapshotState()

    def begin(self, new_index: Callable[[], VectorIndex]) -> None:
        """Begin to read the newest snapshot in a thread, before the store answers.

        Whether it may be used, `restore` finds out.
        """
        paths = self._paths()
        if self._schedule.every_s == 0 or not paths:
            return
        answer: Future[_Read] = Future()

        def read() -> None:
            try:
                answer.set_result(self._read(paths[0], new_index, None))
            except BaseException as error:  # noqa: BLE001 - `restore` is told
                answer.set_exception(error.with_traceback(None))  # which holds a half-filled index

        self._ahead = paths[0], answer
        threading.Thread(target=read, name="snapshot", daemon=True).start()

    def restore(
        self, new_index: Callable[[], VectorIndex], head: Position
    ) -> tuple[VectorIndex, Position] | None:
        """An index from the newest snapshot, and where it then is in the log.

        None where there is no snapshot that continues the store's history, which ends at `head`;
        those that can't be used are gone then.
        """
        if self._schedule.every_s == 0:
            self.discard("snapshots are switched off")
            return None
        ahead, self._ahead = self._ahead, None
        for path in self._paths():
            try:
                if ahead is not None and ahead[0] == path:
                    found = ahead[1].result()
                    _check_continues(found.place, head)
                else:
                    ahead = None  # there is a newer one; two would take twice the memory
                    found = self._read(path, new_index, head)
            except Exception as error:  # noqa: BLE001 - the store has everything
                is_known = isinstance(error, (Broken, OSError, MemoryError))
                said = "the index is built from the store, not from a snapshot: %s"
                _log.warning(said, error, exc_info=not is_known)
                self._remove(path)
                continue
            self._last = found.place
            self.state = SnapshotState(found.place.sequence, found.written_at)
            return found.filled, found.place
        return None

    def _read(
        self, path: Path, new_index: Callable[[], VectorIndex], head: Position | None
    ) -> _Read:
        """A snapshot of this model; of a history that ends at `head`, where that is known."""
        source = ChecksummedFolder(path)
        for name, mine in asdict(self.model).items():
            if source.about.get(name) != mine:
                said = source.about.get(name)
                raise Broken(f"it was written for {name} {said}, this is {mine}")
        place = _place(source)
        if head is not None:
            _check_continues(place, head)
        index = new_index()
        if not isinstance(index, Snapshotting):
            raise Broken("the index has no snapshots")
        index.load(source)
        return _Read(index, place, float(source.about["written_at"]))

    def discard(self, why: str) -> None:
        """Remove all snapshots, and the one that is being written once it is there."""
        self._discards += 1
        for path in self._paths():
            _log.warning("the snapshot of the index is not used: %s", why)
            self._remove(path)
        self._last = None
        self.state = replace(self.state, sequence=None, written_at=None)

    def is_due(self, index: VectorIndex, place: Position, *, rebuilt: bool) -> bool:
        """Whether one should be written of an index that is complete up to a place in the log."""
        schedule, last = self._schedule, self._last
        if schedule.every_s == 0 or not isinstance(index, Snapshotting):
            return False
        if index.count < schedule.from_rows:
            return False
        if last is not None and last.epoch == place.epoch:
            changes = place.sequence - last.sequence
            if changes < schedule.changes and not (rebuilt and changes >= 0):
                return False
        now = time.monotonic()
        return self._tried_at is None or rebuilt or now - self._tried_at >= schedule.every_s

    def write(
        self, index: VectorIndex, place: Position, is_stopped: Callable[[], bool] = lambda: False
    ) -> bool:
        """Save an index, beside searches and writes; whether it was saved.

        Args:
            index: everything up to `place` is in it; more may be.
            place: from there on the log is read when it is restored.
            is_stopped: asked now and then.
        """
        self._tried_at = time.monotonic()
        try:
            with self._owning() as owns:
                if not owns or not isinstance(index, Snapshotting):
                    return False  # another process saves the same index, or there is nothing to
                return self._written(index, place, is_stopped)
        except Stopped:
            return False
        except (OSError, MemoryError) as error:
            reason = f"{self._folder}: {error.strerror if isinstance(error, OSError) else error}"
            _log.warning("no snapshot of the index, the one before stays: %s", reason)
            self.state = replace(self.state, failure=reason)
            return False
        except Exception as error:  # noqa: BLE001 - `state` tells it, whatever it is
            _log.exception("no snapshot of the index, the one before stays")
            self.state = replace(self.state, failure=f"{self._folder}: {error!r}")
            return False

    def _written(
        self, index: Snapshotting, place: Position, is_stopped: Callable[[], bool]
    ) -> bool:
        remove_unfinished(self._folder)
        older, began, discards = self._paths(), time.monotonic(), self._discards
        about = {**asdict(self.model), **asdict(place), "written_at": time.time()}
        number = int(older[0].name) + 1 if older else 1
        self._check_room(index)
        path = self._folder / f"{number:0{_DIGITS}}"
        index.save(path, about, is_stopped)
        for old in older:
            self._remove(old)
        if discards != self._discards:  # it may have what it was discarded for
            self._remove(path)
            return False
        self._last = place
        self.state = SnapshotState(place.sequence, time.time())
        seconds = time.monotonic() - began
        _log.info("saved the index at %d, %d rows, %.1f s", place.sequence, index.count, seconds)
        return True

    def _check_room(self, index: VectorIndex) -> None:
        """Check that a snapshot leaves the store enough room.

        Raises:
            OSError: it would.
        """
        row = 2 * 4 * self.model.dim + 2 * self.model.content_dim + 1024  # bytes, base included
        wanted = index.count * row + self._schedule.reserve_bytes
        free = shutil.disk_usage(self._folder).free
        if free < wanted:
            raise OSError(0, f"needs {wanted >> 20} MiB, only {free >> 20} MiB free")

    def _paths(self) -> list[Path]:
        return _snapshots_in(self._folder)

    def _remove(self, path: Path) -> None:
        shutil.rmtree(path, ignore_errors=True)

    @contextlib.contextmanager
    def _owning(self) -> Generator[bool, None, None]:
        """Lock the folder; whether no other process has it."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield try_lock(fd)
        finally:
            os.close(fd)


def newest_place(folder: Path) -> Position | None:
    """Up to where the newest snapshot in a folder is complete, of whichever model; None if none."""
    for path in _snapshots_in(folder):
        with contextlib.suppress(Broken, OSError):
            return _place(ChecksummedFolder(path))
    return None


def _snapshots_in(folder: Path) -> list[Path]:
    """The snapshots, newest first."""
    return sorted((p for p in folder.glob("[0-9]" * _DIGITS) if p.is_dir()), reverse=True)


def _place(source: ChecksummedFolder) -> Position:
    about = source.about
    return Position(
        str(about.get("epoch")), int(about.get("sequence", -1)), str(about.get("mark", ""))
    )


def _check_continues(place: Position, head: Position) -> None:
    """Check that a history which ends at `head` goes on from a place.

    Raises:
        Broken: it does not.
    """
    if place.epoch != head.epoch:
        raise Broken("the store's history is another one: it was restored or emptied")
    if not 0 <= place.sequence <= head.sequence:
        raise Broken(
            f"the store ends at {head.sequence}, the snapshot at {place.sequence}: the store was "
            "set back"
        )
    if place.sequence == head.sequence and place.mark != head.mark:
        raise Broken("the store was set back, and written anew since")
