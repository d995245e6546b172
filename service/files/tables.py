"""Columns of a table of a data set folder: CSV with a header, or Parquet of the same name."""

import csv
import os
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from service.errors import ServiceError, in_one_line
from service.files.parquet_rows import check_names, rows_of_batch

_NONE: list[str] = []


class UnreadableTable(ServiceError):
    """A table lacks a column, or can't be read."""


class Row(NamedTuple):
    """Cells of a row as text, and where it stands: the file, and its line or row from 1."""

    where: str
    cells: list[str]


def rows_of(
    folder: Path, name: str, columns: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[Row] | None:
    """Rows of a table, with the cells of these columns as text; None if there is no such table.

    Args:
        folder: of the data set.
        name: of the table, without an ending.
        columns: that it must have.
        optional: others; empty cells where the table has them not.

    Raises:
        UnreadableTable: a column is missing, or the file can't be read, or there are two.
    """
    # A link that leads nowhere is there too, and not "no such table".
    there = [path for e in (".csv", ".parquet") if os.path.lexists(path := folder / f"{name}{e}")]
    if len(there) > 1:
        raise UnreadableTable(f"{there[0]}: {there[1].name} is there as well; keep one of them")
    if not there:
        return None
    (path,) = there
    return (_csv if path.suffix == ".csv" else _parquet)(path, columns, optional)


def _is_blank(row: Sequence[str]) -> bool:
    return len(row) <= 1 and not "".join(row).strip()


def _csv(path: Path, columns: Sequence[str], optional: Sequence[str]) -> Iterator[Row]:
    line = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = next((row for row in reader if not _is_blank(row)), _NONE)
            places = _places(path, header, columns, optional)
            for row in reader:
                line = reader.line_num
                if _is_blank(row):
                    continue
                where = f"{path}:{line}"
                if len(row) != len(header):
                    raise UnreadableTable(f"{where}: has {len(row)} values, needs {len(header)}")
                yield Row(where, [row[at] if at is not None else "" for at in places])
    except (csv.Error, UnicodeDecodeError) as error:
        raise UnreadableTable(
            f"{path} can't be read as CSV after line {line}: {in_one_line(error)}"
        ) from error
    except OSError as error:
        raise UnreadableTable(f"{path} can't be read: {error.strerror or error}") from error


def _parquet(path: Path, columns: Sequence[str], optional: Sequence[str]) -> Iterator[Row]:
    try:
        pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ModuleNotFoundError:
        raise UnreadableTable(
            f"{path} can't be read without the extra parquet: pip install "
            "'similar-streamer[parquet]'"
        ) from None
    number = 0
    try:
        with path.open("rb") as opened:
            file: Any = parquet.ParquetFile(opened, page_checksum_verification=True)
            header = [str(name) for name in file.schema_arrow.names]
            places = _places(path, header, columns, optional)
            wanted = [header[at] for at in places if at is not None]
            for batch in file.iter_batches(columns=wanted):
                for row in rows_of_batch(batch, number):
                    number += 1
                    cells = [None if at is None else row[header[at]] for at in places]
                    texts = ["" if cell is None else str(cell) for cell in cells]
                    yield Row(f"{path}:{number}", texts)
    except (pyarrow.ArrowException, ValueError, OSError) as error:
        reason = getattr(error, "strerror", None) or in_one_line(error)
        raise UnreadableTable(
            f"{path} can't be read as Parquet after row {number}: {reason}"
        ) from error


def _places(
    path: Path, header: Sequence[str], columns: Sequence[str], optional: Sequence[str]
) -> list[int | None]:
    """Where the columns stand; None for one that is not there."""
    if missing := [name for name in columns if name not in header]:
        raise UnreadableTable(f"{path}: has no column {missing[0]!r}; it has {', '.join(header)}")
    try:
        check_names(header)
    except ValueError as error:
        raise UnreadableTable(f"{path}: {error}") from error
    return [header.index(n) if n in header else None for n in (*columns, *optional)]
