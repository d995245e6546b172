"""What a backup says of itself, its lines, a record each, and how its files are read."""

import base64
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from service.files.checksummed import Broken, ChecksummedFolder
from service.store.redis.codec import RECORD_FIELDS

Found = TypeVar("Found")
RECORDS = "records.jsonl.gz"
KIND = "similar-streamer store"
FORMAT = 1
_LINE_BYTES = 64 << 20
_TEXTS = frozenset({"version", "digest", "model_version", "status", "updated_at"})
_JSON = frozenset({"facets", "profile", "modalities"})


@dataclass(frozen=True)
class BackupContents:
    """What a backup holds.

    Attributes:
        streamers: how many.
        sequence: of the last write that is in it.
        model_version: whose vectors they are; None for an empty store.
    """

    streamers: int
    sequence: int
    model_version: str | None


def contents_of(source: ChecksummedFolder) -> BackupContents:
    """Read what a backup holds from its manifest.

    Raises:
        Broken: it is none, or of another release.
    """
    about = source.about
    if about.get("kind") != KIND or about.get("format") != FORMAT:
        raise Broken(
            f"{source.path} is {about.get('kind', 'something else')!r} of format "
            f"{about.get('format')}, not {KIND!r} of format {FORMAT}"
        )
    model = about.get("model_version")
    try:
        return BackupContents(int(about["streamers"]), int(about["sequence"]), model and str(model))
    except (KeyError, TypeError, ValueError) as error:
        raise Broken(f"{source.path} has another form than this release writes") from error


def line_of(streamer_id: str, row: Sequence[bytes | None]) -> bytes:
    """The line of a record; of one without a version, that it was deleted."""
    if row[0] is None:
        return json.dumps({"streamer_id": streamer_id, "deleted": True}).encode() + b"\n"
    fields = {
        name: _shown(name, value)
        for name, value in zip(RECORD_FIELDS, row, strict=True)
        if value is not None
    }
    text = json.dumps({"streamer_id": streamer_id, **fields}, ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass") + b"\n"  # as `json.loads` reads it


def record_of(line: bytes) -> tuple[str, dict[str, bytes] | None]:
    """Id and fields of the record of a line.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is none.
    """
    found: dict[str, Any] = json.loads(line)
    streamer_id = str(found.pop("streamer_id"))
    if found.get("deleted"):
        return streamer_id, None
    if not found.keys() <= set(RECORD_FIELDS) or not found.keys() >= {"version", "profile"}:
        raise ValueError(f"{streamer_id}: fields {sorted(found)}")
    return streamer_id, {name: _stored(name, value) for name, value in found.items()}


def records_in(source: ChecksummedFolder) -> Iterator[tuple[str, dict[str, bytes] | None]]:
    """Ids and fields of the records of a backup; None for those that were deleted meanwhile.

    Raises:
        Broken: they are not as they were written; before the last is given.
    """
    try:
        yield from map(record_of, lines_in(source, RECORDS))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Broken(f"{source.path / RECORDS} can't be read: {error!r}") from error


def lines_in(source: ChecksummedFolder, name: str) -> Iterator[bytes]:
    """The lines of a packed file of a backup.

    Raises:
        Broken: it is not as it was written; before the last is given.
    """
    rest = b""
    unpacked = zlib.decompressobj(wbits=31)
    try:
        for block in source.blocks(name):
            while block:  # a part at a time: a small file may unpack to a huge one
                lines = (rest + unpacked.decompress(block, 1 << 20)).split(b"\n")
                block = unpacked.unconsumed_tail
                rest = lines.pop()
                if len(rest) > _LINE_BYTES:
                    raise Broken(f"{source.path / name} has a line of {len(rest)} bytes")
                yield from lines
        if rest or not unpacked.eof:
            raise Broken(f"{source.path / name} ends in the middle")
    except zlib.error as error:
        raise Broken(f"{source.path / name} can't be read: {error!r}") from error


def json_in(source: ChecksummedFolder, name: str, made_of: Callable[[Any], Found]) -> Found:
    """What `made_of` makes of a JSON file of a backup.

    Raises:
        Broken: it can't be read.
    """
    try:
        return made_of(json.loads(source.read(name)))
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise Broken(f"{source.path / name} can't be read: {error!r}") from error


def _shown(name: str, value: bytes) -> str:
    if name in _TEXTS or name in _JSON:
        return value.decode("utf-8", "surrogateescape")
    return base64.b64encode(value).decode()


def _stored(name: str, value: str) -> bytes:
    if name in _TEXTS or name in _JSON:
        return value.encode("utf-8", "surrogateescape")
    return base64.b64decode(value, validate=True)
