"""A hash chain of lines in files: each line has the SHA-256 of the one before and of itself.

`audit/<begin>-<random>-<number>.ndjson`: a process has a chain, a chain has files, numbered from 1,
and lines, numbered through all files from 1. The first line of a file repeats the hash of the last
line of the file before.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter
from pydantic_core import to_json

from service.files.checksummed import sync_folder

FOLDER = "audit"
NO_HASH = "0" * 64
_PLACE = "place"
_END_BYTES = 1 << 20
_FIELDS = TypeAdapter(dict[str, Any])
_FILE = re.compile(r"(\d{8}T\d{6}Z-[0-9a-f]{8})-(\d{6})\.ndjson")
_MARK = b',"hash":"'
_TAIL = len(_MARK) + 64 + 2  # and `"}`
_TAIL_PATTERN = re.compile(rb',"hash":"([0-9a-f]{64})"\}')


@dataclass(frozen=True)
class Head:
    """Where a chain ends.

    Attributes:
        number: of the last line; 0 = there is none.
        digest: its hash.
        file: number of the file that has it.
    """

    number: int = 0
    digest: str = NO_HASH
    file: int = 0


@dataclass(frozen=True)
class ChainFile:
    """A file of a chain, by its name."""

    path: Path
    chain: str
    number: int

    @classmethod
    def of(cls, path: Path) -> Self | None:
        """The file, if its name is that of one."""
        match = _FILE.fullmatch(path.name)
        return None if match is None else cls(path, match[1], int(match[2]))

    def is_being_written(self) -> bool:
        """Whether a process that runs writes it."""
        with self.path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return True
        return False


def files_in(folder: Path) -> list[ChainFile]:
    """All files of all chains, by the begin of the chain and their numbers."""
    paths = folder.iterdir() if folder.is_dir() else ()
    found = (ChainFile.of(path) for path in paths)
    return sorted((f for f in found if f is not None), key=lambda f: (f.chain, f.number))


def place_of(folder: Path) -> str | None:
    """The random name of the folder, by which the store tells replicas apart."""
    with contextlib.suppress(FileNotFoundError):
        return (folder / _PLACE).read_text("ascii").strip()
    return None


def line_of(fields: Mapping[str, Any], before: str) -> tuple[bytes, str]:
    """A line and its hash.

    Args:
        fields: JSON.
        before: hash of the line before.
    """
    body = to_json(fields)
    digest = digest_of(body, before)
    return b'%b,"hash":"%b"}\n' % (body[:-1], digest.encode()), digest


def digest_of(body: bytes, before: str) -> str:
    """The hash of a line, by the one before."""
    return hashlib.sha256(before.encode() + body).hexdigest()


@dataclass(frozen=True)
class Line:
    """A line that was read.

    Attributes:
        body: that was hashed.
        digest: hash that the line says it has.
        fields: of the body.
    """

    body: bytes
    digest: str
    fields: dict[str, Any]

    @classmethod
    def of(cls, raw: bytes) -> Self | None:
        """Read a line without its end; None if it is none."""
        mark = _TAIL_PATTERN.fullmatch(raw[-_TAIL:])
        if mark is None:
            return None
        body = raw[:-_TAIL] + b"}"
        try:
            fields = _FIELDS.validate_json(body)
        except ValueError:
            return None
        return cls(body, mark[1].decode(), fields) if type(fields.get("n")) is int else None


def lines_in(path: Path) -> Iterator[tuple[bytes, bool]]:
    """Lines without their ends, and whether each has an end."""
    with path.open("rb") as file:
        for raw in file:
            is_whole = raw.endswith(b"\n")
            yield raw[:-1] if is_whole else raw, is_whole


class ChainWriter:
    """Writes the chain of this process; for one thread at a time.

    Attributes:
        folder: of the files.
        chain: its name.
        place: name of the folder.
        head: where it ends.
    """

    def __init__(self, folder: Path, file_bytes: int, file_s: float, *, sync: bool) -> None:
        """Begin nothing before `open`.

        Args:
            folder: made if it is not there.
            file_bytes: a file of this size is the last to be written no more.
            file_s: likewise, by its age.
            sync: whether lines are on the disk when `append` returns, not only with the system.
        """
        begin = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        self.folder = folder
        self.chain = f"{begin}-{secrets.token_hex(4)}"
        self.place = ""
        self.head = Head()
        self._file_bytes = file_bytes
        self._file_s = file_s
        self._sync = sync
        self._file: int | None = None
        self._size, self._opened_at = 0, 0.0

    def open(self) -> None:
        """Make the folder and the first file.

        Raises:
            OSError: they can't be made.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = place_of(self.folder)
        if not place:
            place = secrets.token_hex(8)
            file = os.open(self.folder / _PLACE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(file, "w", encoding="ascii") as out:
                out.write(f"{place}\n")
        self.place = place
        self._next_file()

    def append(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Write entries, all or none; they survive this process when it returns.

        Raises:
            OSError: none was written.
        """
        is_full = self._size >= self._file_bytes
        if self._file is None or is_full or time.monotonic() - self._opened_at >= self._file_s:
            self._next_file()
        self._write(entries, self.head.file)

    def _write(self, entries: Sequence[Mapping[str, Any]], number: int) -> None:
        assert self._file is not None
        count, digest = self.head.number, self.head.digest
        lines: list[bytes] = []
        for entry in entries:
            count += 1
            line, digest = line_of({"n": count, **entry}, digest)
            lines.append(line)
        text = memoryview(b"".join(lines))
        done = 0
        try:
            while done < len(text):
                done += os.write(self._file, text[done:])
            if self._sync:
                os.fdatasync(self._file)
        except OSError:
            with contextlib.suppress(OSError):  # half a line would look like a crash
                os.ftruncate(self._file, self._size)
            raise
        self._size += done
        self.head = Head(count, digest, number)

    def _next_file(self) -> None:
        """Begin a file; the one before stays in use if that fails.

        Raises:
            OSError: it can't be made.
        """
        number = self.head.file + 1
        path = self.folder / f"{self.chain}-{number:06}.ndjson"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        before = (self._file, self._size)
        file = os.open(path, flags, 0o600)
        self._file, self._size = file, 0
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            sync_folder(self.folder)
            first = {"chain": self.chain, "file": number, "before": self.head.digest}
            self._write([{"kind": "file", "at": time.time(), **first}], number)
        except OSError:
            self._file, self._size = before
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(file)
            raise
        self._opened_at = time.monotonic()
        if before[0] is not None:
            os.close(before[0])

    def close(self) -> None:
        """Write no more."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def head_in(path: Path) -> Line | None:
    """The last whole line of a file that can be read; None if there is none near its end."""
    with path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _END_BYTES))
        *whole, _ = file.read().split(b"\n")
    return next((line for raw in reversed(whole) if (line := Line.of(raw)) is not None), None)
