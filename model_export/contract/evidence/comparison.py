"""Comparison of pairs of a list: the level that each channel gives to each pair.

Pairs are compared in blocks of arrays. Only keys that two sides of the list show are looked up, so
that a pair with nothing in common costs next to nothing.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence import channels as ch
from model_export.contract.evidence.channels import ABSENT, CHANNELS, Floats, Levels
from model_export.contract.evidence.keys import Hashes, Worth
from model_export.contract.evidence.sides import ALL, KEYED, Side

Places = NDArray[np.int64]
SAME_VECTOR = 0.98
"""Cosine from which two ready-made vectors show the same."""
BLOCK_PAIRS = 512
_SHIFT = np.uint64(32)
_COLUMN = {channel.name: column for column, channel in enumerate(CHANNELS)}


@dataclass(frozen=True, eq=False)
class Overlap:
    """What the sides of P pairs share of a channel.

    Attributes:
        bits: (P,), of all shared keys.
        best: (P,), of the rarest one.
        count: (P,), how many keys are shared.
        rare: (P,), how many of those are rare.
    """

    bits: Floats
    best: Floats
    count: Places
    rare: Places


class KeySets:
    """One set of keys per side of a list."""

    def __init__(self, sets: Sequence[Hashes], worth: Worth) -> None:
        """Sets are ascending."""
        self.sizes = np.array([len(keys) for keys in sets], np.int64)
        keys = np.concatenate([np.zeros(0, np.uint32), *sets])
        places = np.repeat(np.arange(len(sets), dtype=np.uint64), self.sizes)
        self._codes = places << _SHIFT | keys
        distinct, which, counts = np.unique(keys, return_inverse=True, return_counts=True)
        bits = worth(distinct)[which]  # (K,)
        self._sums = np.concatenate([[0.0], np.cumsum(bits, dtype=np.float64)])
        shared = counts[which] > 1
        self._shared_keys, self._shared_bits = keys[shared], bits[shared]
        self._shared_codes = np.append(self._codes[shared], np.uint64(0xFFFFFFFFFFFFFFFF))
        sides = places[shared].astype(np.int64)
        self._counts = np.bincount(sides, minlength=len(sets))
        self._starts = np.concatenate([[0], np.cumsum(self._counts)[:-1]]).astype(np.int64)

    def totals(self, places: Places, limits: NDArray[np.uint64]) -> Floats:
        """Bits of the keys up to a limit, of the sets at these places: (P,)."""
        codes = places.astype(np.uint64) << _SHIFT
        begin = np.searchsorted(self._codes, codes)
        end = np.searchsorted(self._codes, codes | limits, side="right")
        return (self._sums[end] - self._sums[begin]).astype(np.float32)

    def overlap(self, one: Places, other: Places) -> Overlap:
        """What the sets at places (P,) and (P,) share."""
        size = len(one)
        swap = self._counts[one] > self._counts[other]
        fewer, more = np.where(swap, other, one), np.where(swap, one, other)
        counts = self._counts[fewer]
        rows = np.repeat(np.arange(size), counts)  # (L,)
        begins = np.repeat(self._starts[fewer] - np.cumsum(counts) + counts, counts)
        places = begins + np.arange(len(rows))
        wanted = more[rows].astype(np.uint64) << _SHIFT | self._shared_keys[places]
        found = self._shared_codes[np.searchsorted(self._shared_codes, wanted)] == wanted
        rows, bits = rows[found], self._shared_bits[places[found]]
        best = np.zeros(size, np.float32)
        np.maximum.at(best, rows, bits)
        return Overlap(
            np.bincount(rows, bits, size).astype(np.float32),
            best,
            np.bincount(rows, minlength=size),
            np.bincount(rows[bits >= ch.RARE_BITS], minlength=size),
        )


class Comparison:
    """A list of sides, ready to be compared in pairs."""

    def __init__(self, sides: Sequence[Side], worth: Worth) -> None:
        """Compare `sides`, whose keys are worth bits."""
        self._sides = sides
        self._sets = {name: KeySets([side.of(name) for side in sides], worth) for name in KEYED}
        unnamed = -1
        self._names = np.array([unnamed if s.name is None else s.name for s in sides], np.int64)
        self._name_bits = worth(np.maximum(self._names, 0).astype(np.uint32))
        self._limits = np.array([side.limit for side in sides], np.uint64)
        self._vectors = np.array([bool(side.vectors) for side in sides], np.bool_)
        known = [side.embedding for side in sides if side.embedding is not None]
        self._embedded = np.array([side.embedding is not None for side in sides], np.bool_)
        self._embeddings = np.zeros((len(sides), len(known[0]) if known else 0), np.float32)
        if known:
            self._embeddings[self._embedded] = np.stack(known)  # (N, D)

    def levels(
        self, one: Places, other: Places, copies: Mapping[str, Places] | None = None
    ) -> Generator[None, None, Levels]:
        """The level that each channel gives to each pair (P, channels), `ABSENT` for none.

        A generator that pauses after each block of pairs and returns them in the end.

        Args:
            one: places of one side in the list (P,).
            other: places of the other side (P,).
            copies: `pictures` and `sounds`: how many of a pair are copies by their thumbnails and
                fingerprints (P,), -1 where either side has none or they were not compared.
        """
        parts = [np.zeros((0, len(CHANNELS)), np.int8)]
        for start in range(0, len(one), BLOCK_PAIRS):
            part = slice(start, start + BLOCK_PAIRS)
            seen = {kind: counts[part] for kind, counts in (copies or {}).items()}
            parts.append(self._block(one[part], other[part], seen))
            yield
        return np.concatenate(parts)

    def _block(self, one: Places, other: Places, copies: Mapping[str, Places]) -> Levels:
        table = np.full((len(one), len(CHANNELS)), ABSENT, np.int8)

        def put(name: str, levels: Levels, known: NDArray[np.bool_]) -> None:
            table[:, _COLUMN[name]] = np.where(known, levels, ABSENT)

        def shown(name: str) -> NDArray[np.bool_]:
            sizes = self._sets[name].sizes
            return (sizes[one] > 0) & (sizes[other] > 0)

        put("text", self._text(one, other), shown("text"))
        put("names", self._name(one, other), shown("names"))
        found = {name: self._sets[name].overlap(one, other) for name in KEYED[2:]}
        put("contacts", ch.contact_levels(found["contacts"].best), shown("contacts"))
        titles = self._sets["titles"].sizes
        fewest = np.minimum(titles[one], titles[other])
        put("titles", ch.title_levels(found["titles"].rare, fewest), shown("titles"))
        put("tags", ch.tag_levels(found["tags"].bits), shown("tags"))
        labels = "category_language"
        put(labels, ch.category_levels(found[labels].bits), shown(labels))
        for kind in ("pictures", "sounds"):
            seen = copies.get(kind, np.full(len(one), -1))
            shared = np.maximum(found[kind].count, seen)
            # Other files may show the same: without thumbnails of both, only equal ones tell.
            put(kind, ch.count_levels(shared), (seen >= 0) | (shared > 0))
        both = self._vectors[one] & self._vectors[other]
        put("vectors", *self._same_vectors(one, other, both))
        cosines = np.einsum("pd,pd->p", self._embeddings[one], self._embeddings[other])
        put("embedding", ch.embedding_levels(cosines), self._embedded[one] & self._embedded[other])
        return table

    def _text(self, one: Places, other: Places) -> Levels:
        sets, limits = self._sets["text"], np.minimum(self._limits[one], self._limits[other])
        totals = np.minimum(sets.totals(one, limits), sets.totals(other, limits))
        bits = sets.overlap(one, other).bits
        containment = bits / np.maximum(totals, 1e-6)
        whole = (ALL + 1) / (limits.astype(np.float32) + 1)  # samples stand for so much more
        letters = bits * whole / ch.SHINGLES_PER_LETTER
        return ch.text_levels(containment.astype(np.float32), letters.astype(np.float32))

    def _name(self, one: Places, other: Places) -> Levels:
        sets = self._sets["names"]
        sizes = np.maximum(sets.sizes[one] + sets.sizes[other], 1)
        dice = (2 * sets.overlap(one, other).count / sizes).astype(np.float32)
        same = self._names[one] == self._names[other]
        return ch.name_levels(same, self._name_bits[one], dice)

    def _same_vectors(
        self, one: Places, other: Places, both: NDArray[np.bool_]
    ) -> tuple[Levels, NDArray[np.bool_]]:
        """Levels by the number of nearly equal vectors, and whether any can be compared."""
        counts, known = np.zeros(len(one), np.int64), np.zeros(len(one), np.bool_)
        for row in np.flatnonzero(both).tolist():
            ours = self._sides[int(one[row])].vectors
            theirs = self._sides[int(other[row])].vectors
            for space in ours.keys() & theirs.keys():
                if ours[space].shape[1] == theirs[space].shape[1]:
                    same = ours[space] @ theirs[space].T >= SAME_VECTOR
                    counts[row] += min(int(same.any(1).sum()), int(same.any(0).sum()))
                    known[row] = True
        return ch.count_levels(counts), known
