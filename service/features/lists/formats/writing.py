"""A list in each format that it can be had in, as bytes."""

import csv
import io
from collections.abc import Generator, Mapping
from typing import Any, NamedTuple, cast

from pydantic_core import to_json

from service.features.lists.formats.spreadsheet import workbook
from service.features.lists.formats.tables import Cell, Column, cells_of, columns_of
from service.features.lists.rows import BuiltList, Provenance
from service.features.lists.schemas import Format
from service.files.cells import safe
from service.http.ndjson import NDJSON

CSV = "text/csv"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MEDIA_TYPES: Mapping[Format, str] = {
    "json": "application/json",
    "ndjson": NDJSON,
    "csv": f"{CSV}; charset=utf-8",
    "xlsx": XLSX,
}
_BOM = "\ufeff"
"""Without it Excel takes UTF-8 for the code page of its user."""


class Written(NamedTuple):
    """A list as bytes.

    Attributes:
        content: of the answer or the file.
        media_type: of it.
    """

    content: bytes
    media_type: str


def written(
    built: BuiltList, by: Provenance, form: Format, took_ms: float
) -> Generator[None, None, Written]:
    """A list as bytes, made a row at a time."""
    if form == "xlsx":
        content = yield from workbook(built, by)
    elif form == "csv":
        content = yield from _csv(built, by)
    else:
        summary = _summary(built, by, took_ms)
        content = yield from (_json if form == "json" else _lines)(built, summary)
    return Written(content, MEDIA_TYPES[form])


def _summary(built: BuiltList, by: Provenance, took_ms: float) -> dict[str, Any]:
    return {**built.summary, "provenance": by._asdict(), "took_ms": round(took_ms, 3)}


def _json(built: BuiltList, summary: Mapping[str, Any]) -> Generator[None, None, bytes]:
    rows: list[bytes] = []
    for row in built.rows:
        rows.append(to_json(row))
        yield
    return b'{"rows":[' + b",".join(rows) + b"]," + to_json(summary)[1:]


def _lines(built: BuiltList, summary: Mapping[str, Any]) -> Generator[None, None, bytes]:
    lines: list[bytes] = []
    for row in built.rows:
        lines.append(to_json(row) + b"\n")
        yield
    lines.append(to_json(summary) + b"\n")
    return b"".join(lines)


def _csv(built: BuiltList, by: Provenance) -> Generator[None, None, bytes]:
    output = io.StringIO()
    output.write(_BOM)
    writer = csv.writer(output)  # lines end as RFC 4180 says
    columns = columns_of(built.question, compares=by.run is not None)
    writer.writerow([safe(column.heading) for column in columns])
    for row in built.rows:
        cells = zip(columns, cells_of(columns, row), strict=True)
        writer.writerow([_number(column, safe(cell)) for column, cell in cells])
        yield
    return output.getvalue().encode()


def _number(column: Column, cell: Cell) -> Cell:
    """Scores and precisions to six digits, what streamers have as it is."""
    is_ours = column.decimals is not None and isinstance(cell, float)
    return round(cast(float, cell), 6) if is_ours else cell
