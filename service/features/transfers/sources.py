"""What an import reads: a file of lines, that must stay as it is while it is read."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from service.errors import InputChanged, InvalidRequest

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Stamp:
    """What tells, without reading it, that a file is another one by now."""

    inode: int
    size: int
    modified_ns: int

    @classmethod
    def of(cls, found: os.stat_result) -> "Stamp":
        """The stamp of a file."""
        return cls(found.st_ino, found.st_size, found.st_mtime_ns)


@dataclass(frozen=True)
class Content:
    """A file as a whole.

    Attributes:
        stamp: of the file that was read.
        sha256: hex digest of all bytes.
        lines: how many there are, blank ones too.
    """

    stamp: Stamp
    sha256: str
    lines: int

    def dump(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def load(cls, dumped: dict[str, Any]) -> "Content":
        """What was dumped."""
        return cls(Stamp(**dumped["stamp"]), dumped["sha256"], dumped["lines"])


class Source:
    """A file of lines. Its methods do disk work, and run in threads."""

    def __init__(self, path: Path, name: str, line_limit: int) -> None:
        """Read `path`.

        Args:
            path: of the file.
            name: what those who asked for the import call it.
            line_limit: bytes of a line; of a longer one, one byte more is read.
        """
        self._path = path
        self._name = name
        self._line_limit = line_limit

    def stamp(self) -> Stamp:
        """The present stamp.

        Raises:
            InputChanged: the file is gone, or can't be read.
        """
        try:
            with open_file(self._path) as file:
                return Stamp.of(os.fstat(file.fileno()))
        except OSError as error:
            raise self._gone(error) from error

    def convert(
        self, write: Callable[[BinaryIO], Generator[None, None, None]], stamp: Stamp
    ) -> Generator[None, None, None]:
        """Let something else be made of the file, in steps.

        Raises:
            InputChanged: it is another one than the stamp is of, or was changed meanwhile.
        """
        try:
            with open_file(self._path) as file:
                self._check(stamp, os.fstat(file.fileno()))
                yield from write(file)
                self._check(stamp, self._path.stat())
        except OSError as error:
            raise self._gone(error) from error

    def look(self) -> Generator[None, None, Content]:
        """Read it as a whole, in steps.

        Raises:
            InputChanged: it was changed meanwhile, or can't be read.
        """
        digest, lines, last = hashlib.sha256(), 0, b"\n"
        try:
            with open_file(self._path) as file:
                stamp = Stamp.of(os.fstat(file.fileno()))
                while block := file.read(_BLOCK_BYTES):
                    digest.update(block)
                    lines += block.count(b"\n")
                    last = block[-1:]
                    yield
                self._check(stamp, os.fstat(file.fileno()))
        except OSError as error:
            raise self._gone(error) from error
        return Content(stamp, digest.hexdigest(), lines + (last != b"\n"))

    def read(self, at: int, stamp: Stamp, lines: int, size: int) -> tuple[list[bytes], int]:
        """Lines from a place on; nothing is kept, so that it may be called again.

        Args:
            at: byte where the first line begins.
            stamp: that the file must have.
            lines: most of them.
            size: bytes after which no more are read.

        Returns:
            The lines, none at the end, and the byte where the next one begins.

        Raises:
            InputChanged: the file is another one by now.
        """
        found: list[bytes] = []
        try:
            with open_file(self._path) as file:
                self._check(stamp, os.fstat(file.fileno()))
                end = at
                file.seek(at)
                while len(found) < lines and end - at < size:
                    line = file.readline(self._line_limit + 2)
                    if not line:
                        break
                    while not line.endswith(b"\n") and (
                        rest := file.readline(_BLOCK_BYTES)
                    ):  # of a line that is too long
                        line = line[: self._line_limit + 1] + rest[-1:]
                        if rest.endswith(b"\n"):
                            break
                    end = file.tell()
                    found.append(line.removesuffix(b"\n"))
                self._check(stamp, self._path.stat())
        except OSError as error:
            raise self._gone(error) from error
        return found, end

    def _check(self, stamp: Stamp, found: os.stat_result) -> None:
        if Stamp.of(found) != stamp:
            raise changed(self._name)

    def _gone(self, error: OSError) -> InputChanged:
        return InputChanged(f"/path: {self._name!r} can't be read ({error.strerror or error})")


def changed(name: str) -> InputChanged:
    """The error for a file that is not what it was."""
    return InputChanged(
        f"/path: {name!r} was changed or replaced while it was read; retry the job to begin anew"
    )


def open_file(path: Path) -> BinaryIO:
    """Open a file by a path that `find` gave, which has no links any more.

    Each part is opened from the one before, so that a link put there since is not followed, and a
    pipe put there keeps nobody waiting.

    Raises:
        OSError: it can't be read, is no file, or there is a link on the way to it.
    """
    *folders, name = path.parts[1:]
    at = os.open(path.anchor, os.O_PATH)
    try:
        for folder in folders:
            below = os.open(folder, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY, dir_fd=at)
            os.close(at)
            at = below
        found = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
    finally:
        os.close(at)
    file = os.fdopen(found, "rb")
    if not stat.S_ISREG(os.fstat(found).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no file")
    return file


def find(folder: Path | None, path: str) -> Path:
    """The file that an import names.

    Args:
        folder: below which it must be; None where no import may name a file.
        path: relative to that folder, or absolute.

    Raises:
        InvalidRequest: it may not be read, or is no file.
    """
    if folder is None:
        raise InvalidRequest.of(
            "/path",
            "this service imports no files by path: upload the lines, or set "
            "STREAMER_JOBS__IMPORT_DIR",
        )
    try:
        allowed = folder.resolve()
        found = (allowed / path).resolve()
        if not found.is_relative_to(allowed):
            raise InvalidRequest.of(
                "/path", "is not below the folder that STREAMER_JOBS__IMPORT_DIR names"
            )
        if found.is_file():
            return found
    except (OSError, RuntimeError, ValueError):  # too long, a loop of links, a zero byte
        pass
    raise InvalidRequest.of("/path", "is no file below the folder of STREAMER_JOBS__IMPORT_DIR")
