"""Parquet becomes lines of NDJSON, a row each, before it is imported (extra `parquet`)."""

import logging
import os
import secrets
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from service.errors import InvalidRequest
from service.files import parquet_rows
from service.files.spool import Spool, no_room, sync_folder

_log = logging.getLogger(__name__)
SUFFIX = ".parquet"
MOST_GROUP_BYTES = 256 << 20
"""Of one row group: it is in memory as a whole."""
MOST_MEMORY_BYTES = 1 << 30
"""Of the process that reads the file."""
SILENT_S = 60.0
"""After so long without a row the file is given up."""
_SLICE_S = 0.05
_BLOCK_BYTES = 1 << 18
MISSING = (
    "Parquet can't be read here: install the extra parquet "
    "(pip install 'similar-streamer[parquet]'), or send lines of JSON"
)


def is_readable() -> bool:
    """Whether the library that reads Parquet is installed."""
    return find_spec("pyarrow") is not None


def write_lines(file: BinaryIO, target: Path, spool: Spool) -> Generator[None, None, None]:
    """Write each row as a line of JSON, in steps; on disk at the end.

    Fields that are null are left out, times become ISO 8601 and bytes base64. A process of its own
    reads the file, see `parquet_rows`.

    Args:
        file: the Parquet file.
        target: the file to write.
        spool: has the room for it.

    Raises:
        InvalidRequest: it is no Parquet file, or a part of it is too large.
        SpoolFull: there is no room.
    """
    if not is_readable():
        raise InvalidRequest(MISSING)
    draft = target.with_name(f"{target.name}.{secrets.token_hex(8)}")
    try:
        with _new(draft) as lines:
            for block in _blocks(file):
                if block:
                    spool.check_room(len(block))
                    with no_room():
                        lines.write(block)
                yield
            with no_room():
                lines.flush()
                os.fsync(lines.fileno())
                draft.rename(target)
                sync_folder(target.parent)
    finally:  # where it was renamed there is none any more
        draft.unlink(missing_ok=True)


def _new(target: Path) -> BinaryIO:
    """A new file."""
    with no_room():
        return target.open("wb")


def _blocks(file: BinaryIO) -> Generator[bytes, None, None]:
    """Parts of the lines as they come; empty ones in between, while none come.

    Raises:
        InvalidRequest: the file can't be read.
    """
    limits = (str(MOST_GROUP_BYTES), str(MOST_MEMORY_BYTES))
    command = [sys.executable, "-I", parquet_rows.__file__, *limits]
    with tempfile.TemporaryFile() as reason:
        reader = subprocess.Popen(command, stdin=file, stdout=subprocess.PIPE, stderr=reason)
        assert reader.stdout is not None
        try:
            heard = time.monotonic()
            readable = select.poll()  # `select` takes no descriptor above 1,023
            readable.register(reader.stdout, select.POLLIN)
            while True:
                if readable.poll(1000 * _SLICE_S):
                    block, heard = os.read(reader.stdout.fileno(), _BLOCK_BYTES), time.monotonic()
                    if not block:
                        break
                    yield block
                elif time.monotonic() - heard > SILENT_S:
                    raise InvalidRequest(
                        f"the Parquet file gives no row within {SILENT_S:g} s: write smaller rows"
                    )
                else:
                    yield b""
            status = reader.wait()
        finally:
            reader.kill()
            reader.wait()
            reader.stdout.close()
        if status == parquet_rows.REFUSED:
            reason.seek(0)
            raise InvalidRequest(reason.read().decode("utf-8", "replace").strip())
        if status:
            reason.seek(0)
            said = reason.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
            _log.warning("the reader of a Parquet file ended with status %d: %s", status, said)
            raise InvalidRequest(
                "the Parquet file can't be read: it is damaged, or its rows take too much memory"
            )
