"""Parquet files of encoded streamers: `encode` writes them, an import takes them as they are.

A row is a streamer. `profile` is its profile as JSON; `embedding`, `id_embedding` (float32) and
`content` (float16) are little-endian bytes, null for a streamer without usable content;
`tower_vectors` is what towers made of its pieces, with thumbnails and audio fingerprints;
`modalities` is JSON. The file's metadata say by which model, and of what, it was made.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from service.errors import ServiceError
from service.files.parquet_rows import ENCODED

FORMAT = 1
GROUP_ROWS = 4096
GROUP_BYTES = 16 << 20
"""A row group is in memory when it is written and when it is read: it ends at so many rows, or at
so many bytes of them."""
_FOOTER_BYTES = 8
_METADATA_BYTES = 1 << 20
"""Of the end of the footer, where the metadata are, behind what it has of each row group."""
_MAGIC = b"PAR1"


class NotEncoded(ServiceError):
    """A file is in the way that `encode` did not write."""


class About(BaseModel):
    """Metadata of a file.

    Attributes:
        format: of these files.
        model_version: that made the vectors.
        features_fingerprint: of the model's bundle, see `Manifest`.
        dim, content_dim, id_dim: numbers of a vector; `id_dim` 0 = no ID-embedding.
        part: of the input, `i/n`.
        input_sha256: of the bytes that the part was read from.
        rows: that were encoded.
        without_content: of these, streamers without a vector.
        rejected: rows that could not be encoded.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = FORMAT
    model_version: str
    features_fingerprint: str
    dim: int
    content_dim: int
    id_dim: int
    part: str
    input_sha256: str
    rows: int = 0
    without_content: int = 0
    rejected: int = 0

    def is_of(self, other: Self) -> bool:
        """Whether both are of the same model and the same part of the same input."""
        return self.of_nothing() == other.of_nothing()

    def of_nothing(self) -> Self:
        """Metadata before any row."""
        return self.model_copy(update={"rows": 0, "without_content": 0, "rejected": 0})


class EncodedWriter:
    """Writes one file, a row group at a time."""

    def __init__(self, file: Path, about: About) -> None:
        """Write to `file`, which is new."""
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
        binary = arrow.binary
        fields = [
            ("streamer_id", arrow.string(), False),
            ("profile", arrow.string(), False),
            ("embedding", binary(4 * about.dim), True),
            ("content", binary(2 * about.content_dim), True),
            ("id_embedding", binary(4 * about.id_dim) if about.id_dim else binary(), True),
            ("tower_vectors", binary(), True),
            ("modalities", arrow.string(), False),
            ("coverage", arrow.float64(), False),
        ]
        self._table: Any = arrow.Table
        self._schema: Any = arrow.schema(
            [arrow.field(name, kind, nullable=nullable) for name, kind, nullable in fields]
        )
        self._file: Any = parquet.ParquetWriter(
            file, self._schema, compression="zstd", use_dictionary=False, write_page_checksum=True
        )
        self._rows: list[Mapping[str, Any]] = []
        self._bytes = 0

    def add(self, row: Mapping[str, Any], size: int) -> None:
        """Write a row, which has about so many bytes, with those that come next."""
        self._rows.append(row)
        self._bytes += size
        if len(self._rows) >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._flush()

    def finish(self, about: About) -> None:
        """Write the rest, and the metadata."""
        self._flush()
        self._file.add_key_value_metadata({ENCODED: about.model_dump_json()})
        self._file.close()

    def discard(self) -> None:
        """Close the file as it is."""
        with suppress(Exception):  # it is removed, whatever its end would be
            self._file.close()
        self._file.is_open = False  # so that the garbage collector does not try it again

    def _flush(self) -> None:
        if self._rows:
            self._file.write_table(self._table.from_pylist(self._rows, schema=self._schema))
        self._rows, self._bytes = [], 0


def about(path: Path) -> About | None:
    """Metadata of a complete file; None if it was not written here, or is not readable.

    The end of the file is enough, and no library is needed.

    Raises:
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        return about_in(file)


def about_in(file: BinaryIO) -> About | None:
    """Metadata of an open file; see `about`."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _FOOTER_BYTES))
    end = file.read()
    length = int.from_bytes(end[:4], "little")
    if end[4:] != _MAGIC or length > size - _FOOTER_BYTES:
        return None
    length = min(length, _METADATA_BYTES)
    file.seek(size - _FOOTER_BYTES - length)
    footer = file.read(length)
    begin = footer.find(b'{"format":', footer.find(ENCODED.encode()))
    if begin < 0 or ENCODED.encode() not in footer:
        return None
    try:
        fields, _ = json.JSONDecoder().raw_decode(footer[begin:].decode("utf-8", "replace"))
        return About.model_validate(fields)
    except (ValueError, ValidationError):
        return None


def kept(path: Path, wanted: About) -> About | None:
    """Metadata of a file that is there already, if it is what is wanted; None if it has to be made.

    One that lacks rejected rows is made again: a medium that could not be fetched, or a limit, may
    have been the reason.

    Raises:
        NotEncoded: something else is in its place.
        OSError: it can't be read.
    """
    if not path.exists():
        return None
    found = about(path)
    if found is None:
        raise NotEncoded(f"{path} was not written by `encode`: give another file by --out")
    return found if found.is_of(wanted) and not found.rejected else None
