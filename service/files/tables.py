"""Columns of a table of a data set folder: CSV with a header, or Parquet of the same name."""

import csv
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from service.errors import ServiceError

_NONE: list[str] = []


class UnreadableTable(ServiceError):
    """A table lacks a column, or can't be read."""


def rows_of(
    folder: Path, name: str, columns: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[list[str]] | None:
    """Rows of a table, with the cells of these columns as text; None if there is no such table.

    Args:
        folder: of the data set.
        name: of the table, without an ending.
        columns: that it must have.
        optional: others; empty cells where the table has them not.

    Raises:
        UnreadableTable: a column is missing, or the file can't be read.
    """
    for ending, read in ((".csv", _csv), (".parquet", _parquet)):
        path = folder / f"{name}{ending}"
        if path.is_file():
            return read(path, columns, optional)
    return None


def _csv(path: Path, columns: Sequence[str], optional: Sequence[str]) -> Iterator[list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = next(reader, _NONE)
            places = _places(path, header, columns, optional)
            for row in reader:
                if row:
                    yield [row[at] if at is not None and at < len(row) else "" for at in places]
    except (csv.Error, UnicodeDecodeError) as error:
        raise UnreadableTable(f"{path} can't be read as CSV: {error}") from error


def _parquet(path: Path, columns: Sequence[str], optional: Sequence[str]) -> Iterator[list[str]]:
    try:
        pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ModuleNotFoundError:
        raise UnreadableTable(
            f"{path} can't be read without the extra parquet: pip install "
            "'similar-streamer[parquet]'"
        ) from None
    try:
        file: Any = parquet.ParquetFile(path)
        header = [str(name) for name in file.schema_arrow.names]
        places = _places(path, header, columns, optional)
        for batch in file.iter_batches(columns=[header[at] for at in places if at is not None]):
            for row in batch.to_pylist():
                cells = [None if at is None else row[header[at]] for at in places]
                yield ["" if cell is None else str(cell) for cell in cells]
    except (pyarrow.ArrowException, ValueError) as error:
        raise UnreadableTable(f"{path} can't be read as Parquet: {error}") from error


def _places(
    path: Path, header: Sequence[str], columns: Sequence[str], optional: Sequence[str]
) -> list[int | None]:
    """Where the columns stand; None for one that is not there."""
    if missing := [name for name in columns if name not in header]:
        raise UnreadableTable(f"{path}: has no column {missing[0]!r}; it has {', '.join(header)}")
    return [header.index(n) if n in header else None for n in (*columns, *optional)]
