"""Which pairs of a list are worth comparing: those that share a rare key, and the nearest."""

from collections.abc import Generator, Sequence

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence import CHANNELS_OF_KEYS, VECTOR_KEYS, Side, are_two_scripts
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
_IS_KEYED = np.array([channel in _KEYED for channel in CHANNELS_OF_KEYS])
_TEXT = CHANNELS_OF_KEYS.index("text")  # the first
_KEY_BITS = 32
_PLACE_BITS = 27
"""With the 32 bits of a key and 4 for its channel, one number is sorted."""


def list_candidates(sides: Sequence[Side]) -> Generator[None, None, tuple[Places, Places]]:
    """Pairs of places (P,), (P,), the lower first, that are worth comparing.

    They share contacts, titles, media or text, or one is among the other's nearest by embedding.

    A generator that pauses between its steps. Nearly linear in the length of the list, also where
    all of it is one farm of copies.
    """
    size = len(sides)
    found: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    found.append(_shared([_codes(*_labelled(sides), size)], 1))
    yield
    embedded = [place for place, side in enumerate(sides) if side.embedding is not None]
    known = [side.embedding for side in sides if side.embedding is not None]
    if known:
        near = yield from near_pairs(np.stack(known), NEAREST)
        places = np.array(embedded, np.int64)[near]  # (P, 2)
        found.append(places[:, 0] * size + places[:, 1])
    scripts = np.array([side.script for side in sides], np.int8)
    samples = [side.flat[: min(side.sizes[_TEXT], SKETCH)] for side in sides]
    keys = np.concatenate([np.zeros(0, np.uint32), *samples]).astype(np.int64)
    places = np.repeat(np.arange(size), np.fromiter(map(len, samples), np.int64, size))
    shared = [np.zeros(0, np.int64)]
    parts = 1 + size // _IN_A_PART  # of a long list, a part of the keys at a time
    for part in range(parts):
        chosen = keys % parts == part
        shared.append(_codes(keys[chosen], places[chosen], size))
        shared += _of_two_scripts(shared[-1], scripts) * (FEWEST_SHINGLES - 1)
        yield
    found.append(_shared(shared, FEWEST_SHINGLES))
    yield
    codes = _shared(found, 1)
    return codes // max(size, 1), codes % max(size, 1)


def _of_two_scripts(codes: NDArray[np.int64], scripts: NDArray[np.int8]) -> list[NDArray[np.int64]]:
    """Those of the codes whose sides are of two scripts: they share little by chance."""
    size = max(len(scripts), 1)
    return [codes[are_two_scripts(scripts[codes // size], scripts[codes % size])]]


def _labelled(sides: Sequence[Side]) -> tuple[NDArray[np.int64], Places]:
    """Keys of `_KEYED` channels and of names, a number with that of the channel (K,).

    Returns:
        Also the place of the side that each is of (K,).
    """
    width = len(CHANNELS_OF_KEYS)
    sizes = np.array([side.sizes for side in sides], np.int64).reshape(-1, width)[:, _TEXT + 1 :]
    keys = [side.flat[side.sizes[_TEXT] :] for side in sides]
    every = np.concatenate([np.zeros(0, np.uint32), *keys])  # (K,)
    numbers = np.repeat(np.arange(sizes.size), sizes.reshape(-1))
    places = numbers // (width - 1)
    columns = numbers - places * (width - 1) + _TEXT + 1
    chosen = np.flatnonzero(_IS_KEYED[columns])
    labelled = every[chosen] | columns[chosen] << _KEY_BITS
    named = [(place, side.name) for place, side in enumerate(sides) if side.name is not None]
    owners, names = np.array(named, np.int64).reshape(-1, 2).T
    return np.append(labelled, names), np.append(places[chosen], owners)


def _shared(codes: Sequence[NDArray[np.int64]], fewest: int) -> NDArray[np.int64]:
    """Those of the codes that are there so often."""
    found = np.sort(np.concatenate(codes))
    starts = np.flatnonzero(np.diff(found, prepend=-1))  # no code is below zero
    return found[starts[np.diff(starts, append=len(found)) >= fewest]]


def _codes(keys: NDArray[np.int64], places: Places, size: int) -> NDArray[np.int64]:
    """Codes, lower place times `size` plus the higher one, of each pair and key that it shares."""
    # Most keys are shown once. Those that share a slot with another one are sorted.
    slots = keys & ((1 << (2 * len(keys)).bit_length()) - 1)
    several = np.flatnonzero((np.bincount(slots, minlength=1) > 1)[slots])
    codes = np.sort(keys[several] << _PLACE_BITS | places[several])
    places = codes & ((1 << _PLACE_BITS) - 1)  # ascending within a key
    starts = np.flatnonzero(np.diff(codes >> _PLACE_BITS, prepend=-1))
    sizes = np.diff(starts, append=len(codes))
    reach = np.repeat(np.where(sizes > MOST_PAIRED, _CHAIN, sizes - 1), sizes)
    left = np.repeat(starts + sizes, sizes) - np.arange(len(codes)) - 1
    most = np.minimum(reach, left)
    found: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    rows, step = np.flatnonzero(most > 0), 1
    while len(rows):
        found.append(places[rows] * size + places[rows + step])
        step += 1
        rows = rows[most[rows] >= step]
    return np.concatenate(found)
