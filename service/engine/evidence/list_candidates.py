"""Which pairs of a list are worth comparing: those that share a rare key, and the nearest."""

from collections.abc import Generator, Iterable, Sequence

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
_KEYED = ("contacts", "titles", "pictures", "sounds", VECTOR_KEYS)
_Shown = Iterable[tuple[int, NDArray[np.uint32]]]


def list_candidates(sides: Sequence[Side]) -> Generator[None, None, tuple[Places, Places]]:
    """Pairs of places (P,), (P,), the lower first, that are worth comparing.

    They share contacts, titles, media or text, or one is among the other's nearest by embedding.

    A generator that pauses between its steps. Nearly linear in the length of the list, also where
    all of it is one farm of copies.
    """
    size = len(sides)
    found: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    shown = _by_channel(sides)
    yield
    for channel in _KEYED:
        found.append(_shared([_codes(*_joined(shown[channel]), size)], 1))
        yield
    named = [(place, side.name) for place, side in enumerate(sides) if side.name is not None]
    names = np.array([name for _, name in named], np.uint32)
    found.append(_shared([_codes(names, np.array([p for p, _ in named], np.int64), size)], 1))
    yield
    embedded = [place for place, side in enumerate(sides) if side.embedding is not None]
    known = [side.embedding for side in sides if side.embedding is not None]
    if known:
        near = yield from near_pairs(np.stack(known), NEAREST)
        places = np.array(embedded, np.int64)[near]  # (P, 2)
        found.append(places[:, 0] * size + places[:, 1])
    keys, places = _joined((p, each[:SKETCH]) for p, each in shown["text"])
    shared = [np.zeros(0, np.int64)]
    parts = 1 + size // _IN_A_PART  # of a long list, a part of the keys at a time
    for part in range(parts):
        chosen = keys % np.uint32(parts) == part
        shared.append(_codes(keys[chosen], places[chosen], size))
        yield
    found.append(_shared(shared, FEWEST_SHINGLES))
    yield
    codes = _shared(found, 1)
    return codes // max(size, 1), codes % max(size, 1)


def _by_channel(sides: Sequence[Side]) -> dict[str, list[tuple[int, NDArray[np.uint32]]]]:
    """Keys of each channel of evidence, with the places of the sides that show them."""
    shown: dict[str, list[tuple[int, NDArray[np.uint32]]]] = {}
    for channel in ("text", *_KEYED):
        shown[channel] = []
    for place, side in enumerate(sides):
        for channel, keys in side.keys.items():
            if channel in shown:
                shown[channel].append((place, keys))
    return shown


def _shared(codes: Sequence[NDArray[np.int64]], fewest: int) -> NDArray[np.int64]:
    """Those of the codes that are there so often."""
    found = np.sort(np.concatenate(codes))
    starts = np.flatnonzero(np.diff(found, prepend=-1))  # no code is below zero
    return found[starts[np.diff(starts, append=len(found)) >= fewest]]


def _joined(shown: _Shown) -> tuple[NDArray[np.uint32], Places]:
    """All keys (K,), and the place of the side that each is of (K,)."""
    places: list[int] = []
    arrays = [np.zeros(0, np.uint32)]
    for place, keys in shown:
        places.append(place)
        arrays.append(keys)
    sizes = [len(keys) for keys in arrays[1:]]
    return np.concatenate(arrays), np.repeat(np.array(places, np.int64), sizes)


def _codes(keys: NDArray[np.uint32], places: Places, size: int) -> NDArray[np.int64]:
    """Codes, lower place times `size` plus the higher one, of each pair and key that it shares."""
    # Most keys are shown once. Those that share a slot with another one are sorted.
    slots = keys & np.uint32((1 << (2 * len(keys)).bit_length()) - 1)
    several = np.bincount(slots, minlength=1)[slots] > 1
    codes = np.sort(keys[several].astype(np.int64) << 32 | places[several])
    places = codes & 0xFFFFFFFF  # ascending within a key
    starts = np.flatnonzero(np.diff(codes >> 32, prepend=-1))
    sizes = np.diff(starts, append=len(codes))
    reach = np.repeat(np.where(sizes > MOST_PAIRED, _CHAIN, sizes - 1), sizes)
    left = np.repeat(starts + sizes, sizes) - np.arange(len(codes)) - 1
    found: list[NDArray[np.int64]] = []
    for step in range(1, int(np.minimum(reach, left).max(initial=0)) + 1):
        rows = np.flatnonzero((reach >= step) & (left >= step))
        found.append(places[rows] * size + places[rows + step])
    return np.concatenate([np.zeros(0, np.int64), *found])
