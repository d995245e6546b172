"""Which pairs of a list are worth comparing: those that share a rare key, and the nearest."""

from collections.abc import Generator, Sequence

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence import VECTOR_KEYS, Side
from service.engine.evidence.media_copies import near_pairs

Places = NDArray[np.int64]
SKETCH = 64
"""Smallest shingles of a text that are looked up: a random sample of it (bottom-k sketch)."""
FEWEST_SHINGLES = 4
"""Two texts share so many of the sampled ones, or are not compared for their texts. Texts of a few
letters weigh little."""
MOST_PAIRED = 16
"""A key that more of the list show pairs each of these with the next few alone, as a chain."""
_CHAIN = 4
NEAREST = 4
"""By embedding, that each is compared with, whatever the two share."""
_IN_A_PART = 1200
_KEYED = ("contacts", "titles", "pictures", "sounds")


def list_candidates(sides: Sequence[Side]) -> Generator[None, None, tuple[Places, Places]]:
    """Pairs of places (P,), (P,), the lower first, that are worth comparing.

    They share contacts, titles, media or text, or one is among the other's nearest by embedding.

    A generator that pauses between its steps. Nearly linear in the length of the list, also where
    all of it is one farm of copies.
    """
    size = len(sides)
    found: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    for channel in _KEYED:
        found.append(_pairs([side.of(channel) for side in sides], 1))
        yield
    names = [np.array([] if s.name is None else [s.name], np.uint32) for s in sides]
    found.append(_pairs(names, 1))
    found.append(_pairs([side.of(VECTOR_KEYS) for side in sides], 1))
    yield
    embedded = [place for place, side in enumerate(sides) if side.embedding is not None]
    known = [side.embedding for side in sides if side.embedding is not None]
    if known:
        near = yield from near_pairs(np.stack(known), NEAREST)
        places = np.array(embedded, np.int64)[np.array(near, np.int64).reshape(-1, 2)]  # (P, 2)
        found.append(places[:, 0] * size + places[:, 1])
    texts = [side.of("text")[:SKETCH] for side in sides]
    shared = [np.zeros(0, np.int64)]
    parts = 1 + size // _IN_A_PART  # of a long list, a part of the keys at a time
    for part in range(parts):
        shared.append(_codes([text[text % parts == part] for text in texts]))
        yield
    found.append(_shared(shared, FEWEST_SHINGLES))
    yield
    codes = np.unique(np.concatenate(found))
    return codes // max(size, 1), codes % max(size, 1)


def _pairs(sets: Sequence[NDArray[np.uint32]], fewest: int) -> NDArray[np.int64]:
    """Codes of pairs that share so many keys."""
    return _shared([_codes(sets)], fewest)


def _shared(codes: Sequence[NDArray[np.int64]], fewest: int) -> NDArray[np.int64]:
    """Those of the codes that are there so often."""
    distinct, counts = np.unique(np.concatenate(codes), return_counts=True)
    return distinct[counts >= fewest]


def _codes(sets: Sequence[NDArray[np.uint32]]) -> NDArray[np.int64]:
    """Codes, lower place times N plus the higher one, of each pair and key that it shares."""
    size = len(sets)
    keys = np.concatenate([np.zeros(0, np.uint32), *sets])
    places = np.repeat(np.arange(size), [len(each) for each in sets])
    order = np.argsort(keys, kind="stable")  # so places ascend within a key
    keys, places = keys[order], places[order]
    starts = (
        np.flatnonzero(np.append(True, keys[1:] != keys[:-1])) if len(keys) else np.zeros(0, int)
    )
    sizes = np.diff(np.append(starts, len(keys)))
    reach = np.repeat(np.where(sizes > MOST_PAIRED, _CHAIN, sizes - 1), sizes)
    left = np.repeat(starts + sizes, sizes) - np.arange(len(keys)) - 1
    codes: list[NDArray[np.int64]] = []
    for step in range(1, int(np.minimum(reach, left).max(initial=0)) + 1):
        rows = np.flatnonzero((reach >= step) & (left >= step))
        codes.append(places[rows] * size + places[rows + step])
    return np.concatenate([np.zeros(0, np.int64), *codes])
