"""Checksummed folders: they appear whole or not at all, and every byte is checked when read.

A folder is written under another name, synced, and renamed; its manifest has the size and SHA-256
of each file, and in its last line the SHA-256 of itself.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Generator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, cast

MANIFEST = "manifest"
UNFINISHED = ".unfinished-"
"""How the name of a folder that is being written begins."""
_BLOCK = 1 << 20
_SYNC_BYTES = 16 << 20
"""So much is written between two syncs: others' syncs wait for no more than that."""
_MANIFEST_BYTES = 64 << 20


class Broken(Exception):
    """A folder is not as it was written; the message says what and where."""


class Stopped(Exception):
    """The writer was told to stop."""


class ChecksummedFile:
    """Writes one file of a checksummed folder."""

    def __init__(self, file: BinaryIO, is_stopped: Callable[[], bool]) -> None:
        self._file = file
        self._is_stopped = is_stopped
        self._hash = hashlib.sha256()
        self._unsynced = 0
        self.size = 0

    @property
    def digest(self) -> str:
        """SHA-256 hex of what was written so far."""
        return self._hash.hexdigest()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes.

        Raises:
            OSError: they could not be written.
            Stopped: it was told to.
        """
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _BLOCK):
            block = view[start : start + _BLOCK]
            self._hash.update(block)
            self._file.write(block)
            self.size += len(block)
            self._unsynced += len(block)
            if self._unsynced >= _SYNC_BYTES:
                self.sync()
                if self._is_stopped():
                    raise Stopped

    def sync(self) -> None:
        """Have it on disk."""
        self._file.flush()
        os.fdatasync(self._file.fileno())
        self._unsynced = 0


class FolderWriter:
    """Writes a checksummed folder."""

    def __init__(self, folder: Path, is_stopped: Callable[[], bool]) -> None:
        self._folder = folder
        self._is_stopped = is_stopped
        self._files: dict[str, dict[str, object]] = {}

    @contextlib.contextmanager
    def file(self, name: str) -> Generator[ChecksummedFile, None, None]:
        """A new file, on disk when the context ends."""
        with (self._folder / name).open("xb") as opened:
            file = ChecksummedFile(opened, self._is_stopped)
            yield file
            file.sync()
        self._files[name] = {"size": file.size, "sha256": file.digest}

    def write(self, name: str, data: bytes | memoryview) -> None:
        """A whole file."""
        with self.file(name) as file:
            file.write(data)

    def remove(self, name: str) -> None:
        """Remove a file that was written whole.

        Raises:
            OSError: it can't be removed.
        """
        (self._folder / name).unlink()
        del self._files[name]

    def close(self, manifest: BinaryIO, about: Mapping[str, Any]) -> None:
        """Write the manifest."""
        body = json.dumps({"about": about, "files": self._files}).encode()
        digest = hashlib.sha256(body).hexdigest().encode()
        file = ChecksummedFile(manifest, self._is_stopped)
        file.write(body + b"\n" + digest + b"\n")
        file.sync()
        sync_folder(self._folder)


@contextlib.contextmanager
def creating(
    path: Path, about: Mapping[str, Any], is_stopped: Callable[[], bool] = lambda: False
) -> Generator[FolderWriter, None, None]:
    """Write a new checksummed folder at `path`; it appears when the context ends.

    Args:
        path: the folder, where nothing may be yet.
        about: anything that JSON holds, given back as `ChecksummedFolder.about`; it may be filled
            until the context ends.
        is_stopped: asked now and then.

    Raises:
        OSError: it can't be written; what was begun is gone.
        Stopped: it was told to stop; likewise.
    """
    begun = path.with_name(f"{UNFINISHED}{path.name}-{secrets.token_hex(4)}")
    begun.mkdir(mode=0o700, parents=True)
    try:
        with (begun / MANIFEST).open("xb") as manifest:
            with contextlib.suppress(OSError):  # not every file system has locks
                fcntl.flock(manifest, fcntl.LOCK_EX)  # until it is closed; see `remove_left`
            writer = FolderWriter(begun, is_stopped)
            yield writer
            writer.close(manifest, about)
            if path.exists():
                raise FileExistsError(f"{path} exists already")
            begun.rename(path)
            sync_folder(path.parent)
    except BaseException:
        _remove_draft(begun)
        raise


def remove_unfinished(folder: Path) -> None:
    """Remove what was left behind below a folder by processes that were killed; nobody writes."""
    for left in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(left, ignore_errors=True)


def remove_left(folder: Path) -> None:
    """Remove what was left behind below a folder, in which others may be writing, likewise."""
    for manifest in folder.glob(f"{UNFINISHED}*/{MANIFEST}"):
        with contextlib.suppress(OSError), manifest.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its writer lives
            _remove_draft(manifest.parent)


def _remove_draft(folder: Path) -> None:
    """Remove a folder, its manifest last: `remove_left` finds by it what is left of others."""
    for path in folder.glob("*"):
        if path.name != MANIFEST:
            with contextlib.suppress(OSError):
                path.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class ChecksummedFolder:
    """A checksummed folder that was written before.

    Attributes:
        path: the folder.
        about: what its writer said of it.
        files: sizes of its files in bytes, by name.
    """

    def __init__(self, path: Path) -> None:
        """Read the manifest.

        Raises:
            Broken: it is missing, or not as it was written.
        """
        self.path = path
        self.about, self._entries = _manifest(path / MANIFEST)
        self.files = {name: size for name, (size, _) in self._entries.items()}

    def read(self, name: str) -> bytes:
        """A whole file, checked.

        Raises:
            Broken: it is missing, or not as it was written.
        """
        into = bytearray(self.size(name))
        self.read_into(name, memoryview(into))
        return bytes(into)

    def read_into(self, name: str, into: memoryview) -> None:
        """Read a file into memory of exactly its size; after an error its content is undefined."""
        into, done = into.cast("B"), 0
        if len(into) != self.size(name):
            raise Broken(f"{self.path / name} has {self.size(name)} bytes, not {len(into)}")
        digest = hashlib.sha256()
        with self._opened(name) as file:
            while done < len(into):
                count = file.readinto(into[done : done + _BLOCK])
                if not count:
                    raise Broken(f"{self.path / name} ends after {done} of {len(into)} bytes")
                digest.update(into[done : done + count])
                done += count
        self._compare(name, digest.hexdigest())

    def blocks(self, name: str) -> Generator[bytes, None, None]:
        """A file in parts; only after the last one it is known whether they were right.

        Raises:
            Broken: it is missing, or not as it was written.
        """
        self.size(name)
        digest = hashlib.sha256()
        with self._opened(name) as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                yield block
        self._compare(name, digest.hexdigest())

    def checked(self, name: str) -> Path:
        """The path of a file whose bytes were just checked; raises as `read`."""
        self.size(name)
        with self._opened(name) as file:
            self._compare(name, hashlib.file_digest(file, "sha256").hexdigest())
        return self.path / name

    def check(self) -> None:
        """Read all files; raises as `read`."""
        for name in self.files:
            self.checked(name)

    def size(self, name: str) -> int:
        """Bytes of a file, which has as many on disk; raises as `read`."""
        if name not in self._entries:
            raise Broken(f"{self.path / MANIFEST} does not list {name}")
        size = self._entries[name][0]
        try:
            found = (self.path / name).stat().st_size
        except OSError as error:
            raise Broken(f"{self.path / name} can't be read: {error.strerror}") from error
        if found != size:
            raise Broken(f"{self.path / name} has {found} bytes, {size} were written")
        return size

    @contextlib.contextmanager
    def _opened(self, name: str) -> Generator[BufferedReader, None, None]:
        try:
            with (self.path / name).open("rb") as file:
                yield file
        except OSError as error:
            raise Broken(f"{self.path / name} can't be read: {error.strerror}") from error

    def _compare(self, name: str, digest: str) -> None:
        if digest != self._entries[name][1]:
            raise Broken(f"{self.path / name} was changed: its SHA-256 is not the manifest's")


def _manifest(path: Path) -> tuple[dict[str, Any], dict[str, tuple[int, str]]]:
    """What was said of the folder; size and SHA-256 of each file."""
    try:
        if path.stat().st_size > _MANIFEST_BYTES:
            raise Broken(f"{path} is too large to be one")
        body, _, rest = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise Broken(f"{path} can't be read: {error.strerror}") from error
    if not body:
        raise Broken(f"{path} is empty: the folder was not written to its end")
    if rest != hashlib.sha256(body).hexdigest().encode() + b"\n":
        raise Broken(f"{path} was changed: its SHA-256 is not the one in its last line")
    try:
        found = json.loads(body)
        files = cast(dict[str, dict[str, Any]], found["files"])
        entries = {name: (int(e["size"]), str(e["sha256"])) for name, e in files.items()}
        about = dict(found["about"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Broken(f"{path} has another form than this release writes: {error!r}") from error
    for name in entries:
        if Path(name).name != name or name in ("", ".", ".."):
            raise Broken(f"{path} lists {name!r}, which is outside of the folder")
    return about, entries


def packed_texts(texts: Mapping[str, bytes]) -> bytes:
    """Texts in UTF-8, by name, as a file in JSON holds them."""
    return json.dumps({i: text.decode() for i, text in texts.items()}, ensure_ascii=False).encode()


def texts_in(source: ChecksummedFolder, file: str) -> dict[str, bytes]:
    """What `packed_texts` made a file of.

    Raises:
        Broken: the file is damaged, or holds something else.
    """
    try:
        found = cast(dict[str, str], json.loads(source.read(file)))
        return {name: text.encode() for name, text in found.items()}
    except (ValueError, AttributeError) as error:
        raise Broken(f"{source.path / file} can't be read: {error!r}") from error
