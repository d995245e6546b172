"""The spool: a folder with what is uploaded, and what is made of it before it is stored.

place                    a name of the folder, which those who share it have in common
<job id>.part            an upload that is being received
<job id>.upload          what an import or a hand-over of vectors reads
<job id>.<token>.lines   the same as NDJSON, where it came as something else
<job id>.<token>.result  what an export wrote under one lease
"""

import asyncio
import contextlib
import os
import re
import secrets
import socket
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from service.errors import SpoolFull, StartupError

BLOCK_BYTES = 1 << 20
_PLACE = "place"
_STALE_S = 3600.0
"""A file of no job is younger only while it is received, or its job is being queued."""
_SCAN_S = 1.0


def name_of(folder: Path) -> str:
    """The name of a folder, which it keeps; it is made where there is none.

    Raises:
        StartupError: it can't be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / _PLACE
        if not file.exists():
            host = re.sub(r"[^\w.-]", "-", socket.gethostname(), flags=re.ASCII)[:60]
            draft = folder / f"{_PLACE}.{secrets.token_hex(8)}"
            draft.write_text(f"{host}-{secrets.token_hex(4)}", encoding="ascii")
            with contextlib.suppress(FileExistsError):  # another process was faster
                os.link(draft, file)
            draft.unlink()
        return file.read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise StartupError(
            f"the folder {folder} can't be used ({error}): check its permissions, or choose "
            "another by STREAMER_JOBS__SPOOL_DIR, STREAMER_SPACES__SPOOL_DIR or STREAMER_DATA_DIR"
        ) from error


class _Closable(Protocol):
    def close(self) -> None: ...


_File = TypeVar("_File", bound=_Closable)


async def opened(make: Callable[[], _File]) -> _File:
    """A file that a thread opens; it is closed if nobody waits for it any more."""
    opening = asyncio.get_running_loop().run_in_executor(None, make)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close)  # also if this task is cancelled again meanwhile
        with contextlib.suppress(Exception):
            await asyncio.shield(opening)
        raise


def _close(opening: "asyncio.Future[_File]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


class Spool:
    """Files of jobs. Its methods do disk work: but for `receiving`, they are called in threads.

    Attributes:
        folder: where they are.
        place: the folder's name; empty before `open`.
    """

    def __init__(self, folder: Path, limit_bytes: int, settings: str = "STREAMER_JOBS") -> None:
        """Nothing is read before `open`.

        Args:
            folder: where the files are.
            limit_bytes: that all files may have.
            settings: how the names of the settings of folder and limit begin.
        """
        self.folder = folder
        self.place = ""
        self._limit = limit_bytes
        self._settings = settings
        self._used = 0
        self._scanned = float("-inf")

    def open(self) -> None:
        """Make the folder, or find out its name.

        Raises:
            StartupError: it can't be used.
        """
        self.place = name_of(self.folder)
        self.folder = self.folder.resolve()

    def upload(self, job_id: str) -> Path:
        """What an import reads."""
        return self.folder / f"{job_id}.upload"

    def lines(self, job_id: str, token: int) -> Path:
        """What an import reads, made from another format under a lease."""
        return self.folder / f"{job_id}.{token}.lines"

    def result(self, job_id: str, token: int) -> Path:
        """What an export writes under a lease."""
        return self.folder / f"{job_id}.{token}.result"

    def check_room(self, more_bytes: int = 0, replaced_bytes: int = 0) -> None:
        """Refuse what would take more room than there is.

        Args:
            more_bytes: that are written next.
            replaced_bytes: of a file that goes when what is written is complete.

        Raises:
            SpoolFull: the files would have too many bytes.
        """
        if time.monotonic() - self._scanned > _SCAN_S:
            self._used = sum(entry.stat().st_size for entry in self._entries())
            self._scanned = time.monotonic()
        self._used += more_bytes
        if self._used - replaced_bytes > self._limit:
            raise SpoolFull(
                f"the files in {self.folder.name} may take {self._limit} bytes in all "
                f"({self._settings}__SPOOL_BYTES); try again when older ones are gone",
                retry_after_s=60,
            )

    @contextlib.asynccontextmanager
    async def receiving(self, job_id: str) -> "AsyncGenerator[Upload]":
        """An upload that is written in parts; without `Upload.keep` it is gone afterwards.

        To remove gigabytes takes a file system a while, which a thread spends also when whoever
        sends has left.

        Raises:
            SpoolFull: the disk is full.
        """
        draft = self.folder / f"{job_id}.part"
        upload = await opened(partial(Upload, self, draft, self.upload(job_id)))
        try:
            yield upload
        finally:
            await asyncio.shield(asyncio.to_thread(upload.close))

    def remove(self, job_id: str) -> None:
        """Remove all files of a job."""
        for entry in self._entries():
            if entry.name.startswith(f"{job_id}."):
                Path(entry.path).unlink(missing_ok=True)

    def remove_lines(self, job_id: str, token: int) -> None:
        """Remove what was made of an upload under leases up to that of a token, whole or not.

        Files of newer leases stay: a job that is retried at once may run already.
        """
        self._remove(rf"{re.escape(job_id)}\.(\d+)\.lines(?:\..*)?", token)

    def remove_results(self, job_id: str, token: int, but: int | None = None) -> None:
        """Remove what was written under leases up to that of a token, except for one.

        Files of newer leases stay: a job that is retried at once may run already.
        """
        self._remove(rf"{re.escape(job_id)}\.(\d+)\.result", token, but)

    def _remove(self, written: str, token: int, but: int | None = None) -> None:
        for entry in self._entries():
            found = re.fullmatch(written, entry.name, re.ASCII)
            if found and int(found[1]) <= token and int(found[1]) != but:
                Path(entry.path).unlink(missing_ok=True)
        self._scanned = float("-inf")

    def old_jobs(self) -> list[str]:
        """Jobs of which there are files that nobody has written to for a while."""
        newest: dict[str, float] = {}
        for entry in self._entries():
            job_id = entry.name.partition(".")[0]
            newest[job_id] = max(entry.stat().st_mtime, newest.get(job_id, 0.0))
        before = time.time() - _STALE_S
        return sorted(job_id for job_id, written_at in newest.items() if written_at < before)

    def _entries(self) -> "Iterator[os.DirEntry[str]]":
        with os.scandir(self.folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                    if "." in entry.name and not entry.name.startswith(_PLACE) and entry.stat():
                        yield entry


class Upload:
    """An upload that is being received."""

    def __init__(self, spool: Spool, draft: Path, path: Path) -> None:
        self._spool = spool
        self._draft = draft
        self._path = path
        with no_room():
            self._file: BinaryIO = draft.open("xb")

    def write(self, block: bytes) -> None:
        """Append a part.

        Raises:
            SpoolFull: there is no room for it.
        """
        self._spool.check_room(len(block))
        with no_room():
            self._file.write(block)

    def keep(self) -> None:
        """Make it complete: it is on disk when this returns.

        Raises:
            SpoolFull: the disk is full.
        """
        with no_room():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._draft.rename(self._path)
            sync_folder(self._spool.folder)

    def close(self) -> None:
        """Write no more; what is not complete is removed."""
        with contextlib.suppress(OSError):  # the disk is full, and the rest does not matter
            self._file.close()
        self._draft.unlink(missing_ok=True)


@contextlib.contextmanager
def no_room() -> Generator[None]:
    """Tell what keeps a file from being written.

    Raises:
        SpoolFull: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise SpoolFull(
            f"a file of the spool can't be written ({error.strerror or error}): see the folder "
            "that STREAMER_JOBS__SPOOL_DIR or STREAMER_SPACES__SPOOL_DIR names",
            retry_after_s=60,
        ) from error


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
