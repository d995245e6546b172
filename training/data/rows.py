"""Row readers for JSONL, CSV and Parquet with line numbers; bad rows become problems."""

import codecs
import csv
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from model_export.contract.beginnings import BEGIN_BYTES, no_lines
from training.data.problems import Problem

MAX_WEIGHT = 1e30
"""Largest weight, far below the largest float32, so sums stay finite."""

_BATCH_ROWS = 1024
"""Rows per record batch of a Parquet file."""
_CONVERTED_ROWS = 64
"""Rows of it that are Python objects at a time: a row of media may have megabytes."""
_BUFFER_BYTES = 1 << 20
"""Read buffer per Parquet column; by default whole row groups are read."""

_UNREADABLE = (pa.ArrowException, ArithmeticError, LookupError, TypeError, ValueError)
"""Exceptions of a Parquet value that has no Python form."""
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")

ColumnType = Literal["text", "weight"]
_INVALID = object()


def lines_of(
    path: Path, problems: list[Problem], wanted: NDArray[np.int64] | None = None
) -> Iterator[tuple[int, str]]:
    """Numbered lines of a UTF-8 file, from 1, without line ends; blank ones are skipped.

    Args:
        path: the file.
        problems: list that problems are added to.
        wanted: ascending line numbers; None = all.
    """
    with path.open("rb") as file:
        numbered = enumerate(file, 1)
        begin = file.read(BEGIN_BYTES)
        file.seek(0)
        if reason := no_lines(begin, "is a Parquet file: name it .parquet"):
            problems.append(Problem(path.name, None, "", reason))
            return
        for number, raw in numbered if wanted is None else _wanted(numbered, wanted):
            raw = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
            try:
                line = raw.decode().rstrip("\r\n")
            except UnicodeDecodeError as error:
                reason = (
                    f"is not UTF-8 (byte {raw[error.start]:#04x} at position {error.start + 1})"
                )
                problems.append(Problem(path.name, number, "", reason))
                continue
            if line.strip():
                yield number, line


def _wanted(
    numbered: Iterator[tuple[int, bytes]], wanted: NDArray[np.int64]
) -> Iterator[tuple[int, bytes]]:
    for gap in (np.diff(wanted, prepend=0) - 1).tolist():
        yield from islice(numbered, gap, gap + 1)


def parquet_rows(
    path: Path, problems: list[Problem], wanted: NDArray[np.int64] | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbered rows of a Parquet file, from 1, read in record batches; maps are dicts.

    Args:
        path: the file.
        problems: list that problems are added to.
        wanted: ascending row numbers; None = all.
    """
    number = 0
    try:
        with pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            wrong = _wrong_columns(path.name, file.schema_arrow.names)
            problems += wrong
            for number, batch in () if wrong else _batches(file, wanted):
                places = _places(wanted, number, batch.num_rows)
                rows = batch if wanted is None else batch.take(pa.array(places, pa.int64()))
                yield from _records(path.name, rows, [number + i + 1 for i in places], problems)
                number += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        where = number + 1 if number else None
        problems.append(Problem(path.name, where, "", f"is not readable as Parquet: {error}"))


def _wrong_columns(file: str, names: Sequence[str]) -> list[Problem]:
    """Problems of columns of one name, of which a row would show the last, and of an index."""
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    indexes = filter(_PANDAS_INDEX.fullmatch, names)
    return [
        *(Problem(file, None, name, "is there more than once; keep one") for name in repeated),
        *(
            Problem(file, None, name, "is the index of a pandas table; write it with index=False")
            for name in indexes
        ),
    ]


def _records(
    file: str, batch: pa.RecordBatch, numbers: Sequence[int], problems: list[Problem]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbered rows of a record batch (b,) with row numbers (b,); bad rows become problems."""
    for start in range(0, batch.num_rows, _CONVERTED_ROWS):
        part = batch.slice(start, _CONVERTED_ROWS)
        here = numbers[start : start + _CONVERTED_ROWS]
        try:
            rows = part.to_pylist(maps_as_pydicts="strict")
        except _UNREADABLE:  # of a row, and the others are good
            for i, number in enumerate(here):
                row = _record(file, number, part.slice(i, 1), problems)
                if row is not None:
                    yield number, row
        else:
            yield from zip(here, rows, strict=True)


def _record(
    file: str, number: int, row: pa.RecordBatch, problems: list[Problem]
) -> dict[str, Any] | None:
    """Values of a record batch of one row, or None and a problem of its first bad column."""
    values: dict[str, Any] = {}
    for name, column in zip(row.schema.names, row.columns, strict=True):
        try:
            values[name] = column[0].as_py(maps_as_pydicts="strict")
        except _UNREADABLE as error:
            reason = error.args[0] if error.args else error  # which a KeyError quotes
            problems.append(Problem(file, number, name, f"can't be read: {reason}"))
            return None
    return values


def _batches(
    file: pq.ParquetFile, wanted: NDArray[np.int64] | None
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """(rows before, record batch) pairs, skipping row groups without wanted rows."""
    before = 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if len(_places(wanted, before, rows)):
            start = before
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, row_groups=[group]):
                yield start, batch
                start += batch.num_rows
        before += rows


def _places(wanted: NDArray[np.int64] | None, before: int, count: int) -> Sequence[int]:
    """Places of wanted rows within a batch of `count` rows after the first `before`."""
    if wanted is None:
        return range(count)
    first, end = np.searchsorted(wanted, [before + 1, before + count + 1])
    return (wanted[first:end] - before - 1).tolist()


def has_more_rows(path: Path, count: int) -> bool:
    """Whether a JSONL or Parquet file has more than `count` rows; False if unreadable."""
    if path.suffix == ".parquet":
        try:
            return pq.read_metadata(path).num_rows > count
        except (pa.ArrowException, OSError):
            return False
    with path.open("rb") as file:
        return sum(1 for _ in islice(file, count + 1)) > count


def table_rows(
    path: Path,
    columns: dict[str, ColumnType],
    problems: list[Problem],
    unread: Sequence[str] = (),
) -> Iterator[tuple[int, list[Any]]]:
    """Numbered rows of a CSV or Parquet table, values in the order of `columns`.

    `text` values are non-empty strings, `weight` values floats in [0, `MAX_WEIGHT`]. The columns
    `unread` may be there too.
    """
    reader = _parquet_table if path.suffix == ".parquet" else _csv_table
    converters = [_text if kind == "text" else _weight for kind in columns.values()]
    for number, cells in reader(path, list(columns), problems, unread):
        values = [convert(cell) for convert, cell in zip(converters, cells, strict=True)]
        if _INVALID not in values:
            yield number, values
            continue
        for (name, kind), cell, value in zip(columns.items(), cells, values, strict=True):
            if value is _INVALID:
                wanted = "a text" if kind == "text" else f"a number from 0 to {MAX_WEIGHT:g}"
                reason = f"needs {wanted}, is {cell!r:.80}"
                problems.append(Problem(path.name, number, name, reason))


def _csv_table(
    path: Path, columns: Sequence[str], problems: list[Problem], unread: Sequence[str]
) -> Iterator[tuple[int, list[str]]]:
    wanted = ",".join(columns)
    order: list[int] | None = None
    width, before = len(columns), len(problems)
    for number, line in lines_of(path, problems):
        try:
            cells = _cells(line)
        except csv.Error as error:
            problems.append(Problem(path.name, number, "", f"is not CSV on one line: {error}"))
            continue
        if order is None:  # the first readable line
            if _are_columns(cells, columns, unread):
                order, width = [cells.index(name) for name in columns], len(cells)
                continue
            order = list(range(len(columns)))  # default order, to check the remaining lines
            problems.append(Problem(path.name, number, "", f"the header must be: {wanted}"))
        elif len(cells) != width:
            reason = f"has {len(cells)} values, needs {width}: {wanted}"
            problems.append(Problem(path.name, number, "", reason))
        else:
            yield number, [cells[i] for i in order]
    if order is None and len(problems) == before:
        problems.append(Problem(path.name, None, "", f"is empty, the header must be: {wanted}"))


def _are_columns(found: Sequence[str], columns: Sequence[str], unread: Sequence[str]) -> bool:
    """Whether a header has all columns once, and none but these and `unread`."""
    return len(set(found)) == len(found) and set(columns) <= set(found) <= {*columns, *unread}


def _cells(line: str) -> list[str]:
    """Values of one line; values can't span lines, so a stray quote affects one line only."""
    if '"' not in line:
        return line.split(",")
    return next(csv.reader([line], strict=True))


def _parquet_table(
    path: Path, columns: Sequence[str], problems: list[Problem], unread: Sequence[str]
) -> Iterator[tuple[int, list[Any]]]:
    checked = False
    for number, row in parquet_rows(path, problems):
        if not checked and not _are_columns(list(row), columns, unread):
            reason = f"has the columns {', '.join(row)}; needs {', '.join(columns)}"
            problems.append(Problem(path.name, None, "", reason))
            return
        checked = True
        yield number, [row[name] for name in columns]


def _text(cell: Any) -> Any:
    if isinstance(cell, str):
        return cell if cell and not cell.isspace() else _INVALID
    # Parquet files may have integer user ids.
    return str(cell) if isinstance(cell, int) and not isinstance(cell, bool) else _INVALID


def _weight(cell: Any) -> Any:
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        return _INVALID
    try:
        value = math.nan if isinstance(cell, str) and "_" in cell else float(cell)
    except (ValueError, OverflowError):
        return _INVALID
    return value if 0 <= value <= MAX_WEIGHT else _INVALID
