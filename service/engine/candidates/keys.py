"""Exact keys by which a profile is found, besides its vectors."""

from collections.abc import Iterator

from model_export.contract.evidence import VECTOR_KEYS, Side
from service.engine.candidates.postings import hint, strong

_STRONG = {"contacts": 16, "pictures": 12, "sounds": 8, VECTOR_KEYS: 12}
_HINTS = {"names": 4, "titles": 12, "text": 6}
"""Keys that are taken of a channel. Of the shingles of a text the smallest hashes are a random
sample that is the same for the same text (bottom-k; Cohen 2007)."""


def keys_of(side: Side) -> frozenset[int]:
    """Keys of what a profile shows."""
    return frozenset(_of(side))


def _of(side: Side) -> Iterator[int]:
    if side.name is not None:
        yield strong(side.name)
    for marked, channels in ((strong, _STRONG), (hint, _HINTS)):
        for channel, most in channels.items():
            yield from map(marked, side.of(channel)[:most].tolist())
