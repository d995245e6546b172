"""Exact keys by which a profile is found, besides its vectors.

Tags tell little, but accounts that show one picture often have the same few. Of the shingles of a
text a corpus keeps the smallest hashes, a random sample that is the same for the same text
(bottom-k; Cohen 2007), and is asked by all of them: so a text is found that contains another one,
or is contained in it, however long the longer one is.
"""

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence import VECTOR_KEYS, Side
from service.engine.candidates.postings import faint_hint, hint, strong

_STRONG = {"contacts": 16, "pictures": 12, "sounds": 8, VECTOR_KEYS: 12}
_MOST_TITLES = 16
_MOST_TAGS = 6
_TEXT_KEPT = 8


def kept_keys(side: Side) -> NDArray[np.uint32]:
    """Keys by which others find a profile (K,)."""
    return _keys(side, _TEXT_KEPT)


def asked_keys(side: Side) -> NDArray[np.uint32]:
    """Keys by which a profile finds others (K,)."""
    return _keys(side, None)


def _keys(side: Side, most_text: int | None) -> NDArray[np.uint32]:
    name = np.zeros(0, np.uint32) if side.name is None else np.array([side.name], np.uint32)
    found = [
        strong(name),
        *(strong(side.of(channel)[:most]) for channel, most in _STRONG.items()),
        hint(side.of("titles")[:_MOST_TITLES]),
        faint_hint(side.of("tags")[:_MOST_TAGS]),
        faint_hint(side.of("text")[:most_text]),
    ]
    return np.unique(np.concatenate(found))
