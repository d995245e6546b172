"""Chunks of generations in a folder that all replicas share, and not in the store's memory."""

import contextlib
import errno
import os
import re
import secrets
import shutil
import time
from collections.abc import Container, Generator, Sequence
from pathlib import Path

from service.errors import StoreFull, StoreUnavailable

_ID = re.compile(r"[0-9a-f]{1,64}")
_NAME = re.compile(r"[su]\d{1,9}\.[a-z]{1,20}")
_UNKEPT_S = 3600.0
"""Chunks of a hand-over that is never kept are gone so long after the last of them came."""


class ChunkFolder:
    """A file for each chunk, in a folder for each generation. Its methods are called in threads."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read or made yet."""
        self._folder = folder

    def put(self, chunks_id: str, name: str, data: bytes) -> None:
        """Write a chunk; on disk when this returns.

        Raises:
            StoreFull: the disk is full.
            StoreUnavailable: the folder can't be written to.
        """
        target = self._path(chunks_id, name)
        draft = target.with_name(f"{target.name}.{secrets.token_hex(8)}")
        with _told(self._folder):
            target.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(target)

    def get(self, chunks_id: str, name: str) -> bytes | None:
        """A chunk; None if it is not there.

        Raises:
            StoreUnavailable: the folder can't be read.
        """
        with _told(self._folder):
            try:
                return self._path(chunks_id, name).read_bytes()
            except FileNotFoundError:
                return None

    def names(self, chunks_id: str) -> list[str]:
        """Names of a generation's chunks.

        Raises:
            StoreUnavailable: the folder can't be read.
        """
        with _told(self._folder):
            try:
                found = os.listdir(self._folder / chunks_id)
            except FileNotFoundError:
                return []
        return [name for name in found if _NAME.fullmatch(name)]

    def settle(self, chunks_id: str) -> None:
        """Have the names of a generation's chunks on disk.

        Raises:
            StoreUnavailable: that can't be done.
        """
        with _told(self._folder):
            for folder in (self._folder / chunks_id, self._folder):
                descriptor = os.open(folder, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def remove(self, chunks_id: str, names: Sequence[str]) -> None:
        """Remove some chunks, where they are there."""
        with _told(self._folder):
            for name in names:
                self._path(chunks_id, name).unlink(missing_ok=True)

    def drop(self, chunks_id: str) -> None:
        """Remove all chunks of a generation."""
        if _ID.fullmatch(chunks_id):
            shutil.rmtree(self._folder / chunks_id, ignore_errors=True)

    def sweep(self, kept: Container[str]) -> None:
        """Remove what hand-overs left behind that were never kept."""
        with contextlib.suppress(OSError):
            for folder in self._folder.iterdir():
                is_ours = _ID.fullmatch(folder.name) is not None and folder.name not in kept
                if is_ours and time.time() - folder.stat().st_mtime > _UNKEPT_S:
                    shutil.rmtree(folder, ignore_errors=True)

    def _path(self, chunks_id: str, name: str) -> Path:
        """Where a chunk lies. A backup that is restored names chunks as well.

        Raises:
            StoreUnavailable: that is no name of a chunk.
        """
        if not _ID.fullmatch(chunks_id) or not _NAME.fullmatch(name):
            raise StoreUnavailable(f"{chunks_id[:80]}/{name[:80]} is no name of a chunk")
        return self._folder / chunks_id / name


@contextlib.contextmanager
def _told(folder: Path) -> Generator[None, None, None]:
    try:
        yield
    except OSError as error:
        where = f"the folder {folder} of STREAMER_SPACES__CHUNKS_DIR"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull(f"{where} is full") from error
        raise StoreUnavailable(f"{where} can't be used: {error}") from error
