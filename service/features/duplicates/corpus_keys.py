"""What the corpus of candidates knows of a stored streamer."""

from collections.abc import Set as AbstractSet

import numpy as np
from pydantic import ValidationError

from model_export.contract.pieces import pieces_of
from model_export.contract.streamer import StreamerProfile
from model_export.contract.text import canonical
from service.engine.candidates.corpus import Entry
from service.engine.candidates.postings import key_of
from service.engine.evidence.shared_content import contents_of
from service.store.base import Record

MOST_KEYS = 20
"""Of one kind, of a streamer; its newest titles and pictures come first."""


def entry_of(record: Record, uninformative: AbstractSet[str]) -> Entry:
    """The sketches and exact keys of a record; call it in a thread.

    Args:
        record: as it is stored.
        uninformative: content hashes that are no evidence.
    """
    return Entry(
        np.frombuffer(record.content, "<f2").astype(np.float32) if record.content else None,
        np.frombuffer(record.embedding, "<f4") if record.embedding else None,
        _keys_of(record, uninformative),
    )


def _keys_of(record: Record, uninformative: AbstractSet[str]) -> frozenset[int]:
    try:
        profile = StreamerProfile.model_validate_json(record.profile)
    except ValidationError:  # of another release; its sketches are of use all the same
        return frozenset()
    keys: set[int] = set()
    for kind, places in contents_of(pieces_of(profile), uninformative).items():
        keys.update(key_of(kind, content) for content in list(places)[:MOST_KEYS])
    if profile.name and (name := canonical(profile.name)):
        keys.add(key_of("name", name))
    return frozenset(keys)
