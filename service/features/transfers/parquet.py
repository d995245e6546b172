"""Parquet becomes lines of NDJSON, a row each, before it is imported (extra `parquet`)."""

import base64
import json
import os
import secrets
from collections.abc import Generator
from datetime import date, datetime
from decimal import Decimal
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, cast

from service.errors import InvalidRequest
from service.features.transfers.spool import Spool, no_room, sync_folder

SUFFIX = ".parquet"
MOST_GROUP_BYTES = 256 << 20
"""Of one row group: it is in memory as a whole."""
_ROWS = 16
MISSING = (
    "Parquet can't be read here: install the extra parquet "
    "(pip install 'similar-streamer[parquet]'), or send lines of JSON"
)


def is_readable() -> bool:
    """Whether the library that reads Parquet is installed."""
    return find_spec("pyarrow") is not None


def write_lines(file: BinaryIO, target: Path, spool: Spool) -> Generator[None, None, None]:
    """Write each row as a line of JSON, in steps; on disk at the end.

    Fields that are null are left out, times become ISO 8601 and bytes base64.

    Args:
        file: the Parquet file.
        target: the file to write.
        spool: has the room for it.

    Raises:
        InvalidRequest: it is no Parquet file, or one of its row groups is too large.
        SpoolFull: there is no room.
    """
    if not is_readable():
        raise InvalidRequest(MISSING)
    pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    try:
        draft = target.with_name(f"{target.name}.{secrets.token_hex(8)}")
        with _new(draft) as lines:
            rows: Any = parquet.ParquetFile(file)
            for group in range(rows.num_row_groups):
                _check_size(group, int(rows.metadata.row_group(group).total_byte_size))
                batches = rows.iter_batches(_ROWS, row_groups=[group], use_threads=False)
                for batch in batches:
                    block = b"".join(_line(row) for row in batch.to_pylist())
                    spool.check_room(len(block))
                    with no_room():
                        lines.write(block)
                    yield
            with no_room():
                lines.flush()
                os.fsync(lines.fileno())
                draft.rename(target)
                sync_folder(target.parent)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InvalidRequest(f"the file can't be read as Parquet: {reason}") from error


def _new(target: Path) -> BinaryIO:
    """A new file."""
    with no_room():
        return target.open("wb")


def _check_size(group: int, size: int) -> None:
    if size > MOST_GROUP_BYTES:
        raise InvalidRequest(
            f"row group {group} of the Parquet file has {size} bytes and may have "
            f"{MOST_GROUP_BYTES}: write it with smaller row groups"
        )


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(_without_nulls(row), ensure_ascii=False, default=_text).encode() + b"\n"


def _without_nulls(value: Any) -> Any:
    """A value without the fields that a row does not have: in Parquet, every row has all."""
    if isinstance(value, dict):
        fields = cast(dict[str, Any], value)
        return {name: _without_nulls(v) for name, v in fields.items() if v is not None}
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
