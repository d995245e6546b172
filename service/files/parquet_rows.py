"""A program: rows of the Parquet file at its input, as lines of NDJSON at its output.

A file of a kilobyte may hold a row of billions of values, and a damaged one may be the end of the
library's native code. Read here, it costs this process and not the service, whose modules are not
imported. `parquet` starts it: `-I parquet_rows.py GROUP_BYTES DATA_BYTES`.
"""

import base64
import json
import os
import resource
import sys
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from importlib import import_module
from typing import Any, cast

ENCODED = "similar_streamer"
"""Key of the metadata of files that `service.files.encoded` wrote. Their first line is an object
with this one field, and the metadata in it."""
REFUSED = 3
"""Exit status: the file can't be read; the reason is at the standard error, in one line."""
_ROWS = 16
_LARGEST_REASON = 64 << 10


class _Refused(Exception):
    """The file is Parquet, and too large."""


def _main(most_group_bytes: int, most_bytes: int) -> int:
    resource.setrlimit(resource.RLIMIT_DATA, (most_bytes, most_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_REASON, _LARGEST_REASON))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    try:
        with open(0, "rb") as file, open(1, "wb") as lines:
            rows: Any = parquet.ParquetFile(file, page_checksum_verification=True)
            check_names(rows.schema_arrow.names)
            metadata: Any = rows.metadata.metadata or {}
            about = metadata.get(ENCODED.encode())
            if about is not None:
                lines.write(line_of({ENCODED: json.loads(about)}))
            done = 0
            for group in range(rows.num_row_groups):
                size = int(rows.metadata.row_group(group).total_byte_size)
                if size > most_group_bytes:
                    raise _Refused(
                        f"row group {group} of the Parquet file has {size} bytes and may have "
                        f"{most_group_bytes}: write it with smaller row groups"
                    )
                for batch in rows.iter_batches(_ROWS, row_groups=[group], use_threads=False):
                    for row in rows_of_batch(batch, done):
                        lines.write(line_of(row))
                    done += int(batch.num_rows)
    except BrokenPipeError:  # nobody reads any more
        os._exit(0)
    except _Refused as error:
        return _refuse(str(error))
    except MemoryError:
        return _refuse("the rows of the Parquet file take too much memory: they hold too much")
    except (pyarrow.ArrowException, OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:300]
        return _refuse(f"the file can't be read as Parquet: {reason}")
    return 0


def check_names(names: Iterable[str]) -> None:
    """Refuse columns of one name, of which a row would show the last.

    Raises:
        ValueError: two have one name.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"has two columns {name!r}: keep one of them")
        seen.add(name)


def rows_of_batch(batch: Any, before: int) -> list[dict[str, Any]]:
    """Rows of a record batch, which comes after so many rows of its file; maps are objects.

    Raises:
        ValueError: Python has no form for a value, such as for the year 36,000,000, or a map
            repeats a key; names its row, from 1 on, and its column.
    """
    of_arrow = import_module("pyarrow").ArrowException
    errors = (ArithmeticError, LookupError, TypeError, ValueError, of_arrow)
    try:
        return batch.to_pylist(maps_as_pydicts="strict")
    except errors as error:
        for i in range(batch.num_rows):
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                try:
                    column[i].as_py(maps_as_pydicts="strict")
                except errors as cause:
                    reason = f"row {before + i + 1}, column {name!r}: {cause}"
                    raise ValueError(reason) from cause
        raise ValueError(str(error)) from error


def line_of(row: dict[str, Any]) -> bytes:
    """A row as a line of JSON, without the fields that are null."""
    text = json.dumps(_without_nulls(row), ensure_ascii=False, default=_text)
    return text.encode() + b"\n"


def _refuse(reason: str) -> int:
    print(reason, file=sys.stderr)  # noqa: T201 - a program's output
    return REFUSED


def _without_nulls(value: Any) -> Any:
    """A value without the fields that a row does not have: in Parquet, every row has all."""
    if isinstance(value, dict):
        fields = cast(dict[Any, Any], value)
        return {str(_text(k)): _without_nulls(v) for k, v in fields.items() if v is not None}
    if isinstance(value, list):
        return [_without_nulls(each) for each in cast(list[Any], value)]
    return value


def _text(value: object) -> Any:
    """What JSON has no form for."""
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal):
        return float(value)
    return str(value)


if __name__ == "__main__":
    status = _main(int(sys.argv[1]), int(sys.argv[2]))
    sys.stderr.flush()
    # All rows are out. The library's threads are not waited for: they may fail while Python ends.
    os._exit(status)
