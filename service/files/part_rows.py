"""Part i of n of a file of profiles, Parquet or NDJSON: each row is in one part, and read once."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from model_export.contract.beginnings import BEGIN_BYTES, PARQUET, no_lines
from service.errors import ServiceError
from service.files.parquet import SUFFIX
from service.files.parquet_rows import check_names, line_of, rows_of_batch

_BLOCK_BYTES = 1 << 20
_BATCH_ROWS = 64
_MOST_LINE_BYTES = 256 << 20
_FOOTER_BYTES = 8


class UnreadableInput(ServiceError):
    """The input is not what its name says, or was changed while it was read."""


@dataclass(frozen=True)
class Part:
    """Part `number` of `count`, from 1 on."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def of(self, size: int) -> tuple[int, int]:
        """Begin and end of the part of so many rows or bytes."""
        return (self.number - 1) * size // self.count, self.number * size // self.count


class PartRows(Protocol):
    """The rows of a part.

    Attributes:
        unit: by what a row is named: `row`, from 1 on, or the `byte` at which its line begins.
        total: how many rows, or bytes, the part has.
    """

    unit: str
    total: int

    def sha256(self) -> str:
        """Digest of all bytes that the rows of the part are made of, as hex."""
        ...

    def rows(self) -> Iterator[tuple[int, bytes]]:
        """Each row as a line of JSON, by its name.

        Raises:
            UnreadableInput: the file can't be read.
        """
        ...

    def done(self, name: int) -> int:
        """How much of `total` comes before the row of this name."""
        ...

    def check(self) -> None:
        """Refuse a file that is not as it was when the part was opened.

        Raises:
            UnreadableInput: it was changed or replaced.
        """
        ...


def part_rows(path: Path, part: Part) -> PartRows:
    """Rows of a part of a file: of Parquet if its name ends so or its content begins so, or lines.

    Raises:
        UnreadableInput: it is neither.
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        begin = file.read(BEGIN_BYTES)
    if path.suffix.lower() == SUFFIX or begin.startswith(PARQUET):
        return ParquetPart(path, part)
    if wrong := no_lines(begin):
        raise UnreadableInput(f"{path} {wrong}")
    return LinesPart(path, part)


class _Unchanged:
    """Tells whether a file is as it was at first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = self._now()

    def check(self) -> None:
        """Refuse a file that is not as it was; raises `UnreadableInput`."""
        if self._now() != self._stamp:
            raise UnreadableInput(
                f"{self._path} was changed while it was read: run the command again"
            )

    def _now(self) -> tuple[int, int, int]:
        found = self._path.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns


class ParquetPart:
    """Rows of a part of a Parquet file; one row group is in memory at a time."""

    def __init__(self, path: Path, part: Part) -> None:
        """Read the footer; see `part_rows`."""
        self.check = _Unchanged(path).check
        self._path = path
        self.unit = "row"
        try:
            parquet = import_module("pyarrow.parquet")
            pyarrow = import_module("pyarrow")
        except ModuleNotFoundError:
            raise UnreadableInput(
                f"{path} can't be read without the extra parquet: "
                "pip install 'similar-streamer[parquet]'"
            ) from None
        self._errors = (pyarrow.ArrowException, ValueError)
        try:
            self._file: Any = parquet.ParquetFile(path, page_checksum_verification=True)
            check_names(self._file.schema_arrow.names)
        except self._errors as error:
            raise self._unreadable(error) from error
        self._metadata: Any = self._file.metadata
        self._begin, self._end = part.of(int(self._metadata.num_rows))
        self.total = self._end - self._begin

    def sha256(self) -> str:
        """Digest of the footer, and of the columns of the row groups that the part touches."""
        digest = hashlib.sha256(f"rows {self._begin} {self._end}\n".encode())
        with self._path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(size - _FOOTER_BYTES)
            length = int.from_bytes(file.read(4), "little")
            _feed(digest, file, size - _FOOTER_BYTES - length, size)
            for group, *_ in self._groups():
                found = self._metadata.row_group(group)
                for i in range(found.num_columns):
                    column = found.column(i)
                    first = int(column.data_page_offset)
                    if column.has_dictionary_page:
                        first = min(first, int(column.dictionary_page_offset))
                    _feed(digest, file, first, first + int(column.total_compressed_size))
        return digest.hexdigest()

    def rows(self) -> Iterator[tuple[int, bytes]]:
        """Rows as lines of JSON, by their number."""
        name = self._begin
        try:
            for group, before, skip, count in self._groups():
                at = 0
                batches = self._file.iter_batches(
                    _BATCH_ROWS, row_groups=[group], use_threads=False
                )
                for batch in batches:
                    first, last = max(skip - at, 0), min(skip + count - at, batch.num_rows)
                    if first < last:
                        name = before + at + first
                        for row in rows_of_batch(batch.slice(first, last - first), name):
                            name += 1
                            yield name, line_of(row)
                    at += batch.num_rows
                    if at >= skip + count:
                        break
        except (*self._errors, OSError) as error:  # which a damaged page is
            raise self._unreadable(error, f" after row {name}") from error

    def done(self, name: int) -> int:
        """Rows of the part before the row of this number."""
        return name - 1 - self._begin

    def _groups(self) -> Iterator[tuple[int, int, int, int]]:
        """Row groups of the part: place, rows before it, rows to skip, rows to read."""
        at = 0
        for group in range(self._metadata.num_row_groups):
            rows = int(self._metadata.row_group(group).num_rows)
            first, last = max(self._begin, at), min(self._end, at + rows)
            if first < last:
                yield group, at, first - at, last - first
            at += rows

    def _unreadable(self, error: Exception, where: str = "") -> UnreadableInput:
        reason = " ".join(str(error).split())[:300]
        return UnreadableInput(f"{self._path} can't be read as Parquet{where}: {reason}")


class LinesPart:
    """Lines of a part of an NDJSON file: those that begin within its share of the bytes."""

    def __init__(self, path: Path, part: Part) -> None:
        """Find where the lines begin; see `part_rows`."""
        self.check = _Unchanged(path).check
        self._path = path
        self.unit = "byte"
        with path.open("rb") as file:
            begin, end = part.of(file.seek(0, os.SEEK_END))
            self._begin, self._end = _line_from(file, begin), _line_from(file, end)
        self.total = self._end - self._begin

    def sha256(self) -> str:
        """Digest of the bytes of the lines, and of where they stand."""
        digest = hashlib.sha256(f"bytes {self._begin} {self._end}\n".encode())
        with self._path.open("rb") as file:
            _feed(digest, file, self._begin, self._end)
        return digest.hexdigest()

    def rows(self) -> Iterator[tuple[int, bytes]]:
        """Lines with something in them, by the byte at which they begin."""
        with self._path.open("rb") as file:
            at = self._begin
            file.seek(at)
            while at < self._end and (line := file.readline(_MOST_LINE_BYTES)):
                if len(line) == _MOST_LINE_BYTES:
                    raise UnreadableInput(
                        f"{self._path}: the line at byte {at} is longer than {_MOST_LINE_BYTES} "
                        "bytes: give lines of JSON"
                    )
                if line.strip():
                    yield at, line
                at += len(line)

    def done(self, name: int) -> int:
        """Bytes of the part before the line that begins here."""
        return name - self._begin


def _line_from(file: BinaryIO, at: int) -> int:
    """Where the first line begins that begins at a byte or after it."""
    if at == 0:
        return 0
    file.seek(at - 1)
    file.readline()
    return file.tell()


def _feed(digest: Any, file: BinaryIO, begin: int, end: int) -> None:
    file.seek(begin)
    left = end - begin
    while left > 0 and (block := file.read(min(left, _BLOCK_BYTES))):
        digest.update(block)
        left -= len(block)
