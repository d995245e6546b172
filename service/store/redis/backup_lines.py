"""Lines of a backup, a record each."""

import base64
import json
from collections.abc import Sequence
from typing import Any

from service.store.redis.codec import RECORD_FIELDS

_TEXTS = frozenset({"version", "digest", "model_version", "status", "updated_at"})
_JSON = frozenset({"facets", "profile", "modalities"})


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


def _shown(name: str, value: bytes) -> str:
    if name in _TEXTS or name in _JSON:
        return value.decode("utf-8", "surrogateescape")
    return base64.b64encode(value).decode()


def _stored(name: str, value: str) -> bytes:
    if name in _TEXTS or name in _JSON:
        return value.encode("utf-8", "surrogateescape")
    return base64.b64decode(value, validate=True)
