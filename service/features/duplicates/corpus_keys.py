"""What the corpus of candidates knows of a stored streamer.

Keys are read from the stored JSON as it stands, some ten times as fast as a validated profile: the
store has nothing that was not validated when it was written.
"""

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
from pydantic_core import from_json

from model_export.contract.text import canonical
from service.engine.candidates.corpus import Entry
from service.engine.candidates.postings import key_of
from service.store.base import Record

MOST_KEYS = 32
"""Of a streamer: its name, and the titles, pictures and sounds of its first videos and lives."""
_MEDIA = ("avatar", "cover", "audio")


def entry_of(record: Record) -> Entry:
    """The sketches and exact keys of a record; call it in a thread."""
    keys: set[int] = set()
    for key in _keys_of(from_json(record.profile)):
        keys.add(key)
        if len(keys) == MOST_KEYS:
            break
    return Entry(
        np.frombuffer(record.content, "<f2").astype(np.float32) if record.content else None,
        np.frombuffer(record.embedding, "<f4") if record.embedding else None,
        frozenset(keys),
    )


def _keys_of(profile: dict[str, Any]) -> Iterator[int]:
    yield from _keys_in("name", profile.get("name"), profile)
    for part in (*profile.get("videos", ()), *profile.get("lives", ())):
        yield from _keys_in("title", part.get("title"), part)


def _keys_in(kind: str, text: str | None, part: dict[str, Any]) -> Iterator[int]:
    """Keys of the text and the media of a part; a picture has one key wherever it is shown."""
    if text and (known := canonical(text)):
        yield key_of(kind, known)
    shown = [part.get(name) for name in _MEDIA]
    for media in (*shown, *part.get("frames", ())):
        if media:
            fields = cast("dict[str, Any]", media)
            # One of these tells what it is; the type of the content says nothing of it.
            yield key_of(
                "media", repr([fields.get(n) for n in ("sha256", "vector", "url", "data")])
            )
