"""Comparison of pairs of a list: the level that each channel gives to each pair.

Pairs are compared in blocks of arrays. Only keys that two sides of the list show are looked up, so
that a pair with nothing in common costs next to nothing.
"""

from collections.abc import Generator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence import channels as ch
from model_export.contract.evidence.channels import ABSENT, CHANNELS, Floats, Levels
from model_export.contract.evidence.keys import Worth
from model_export.contract.evidence.shared_keys import KeySets, Places
from model_export.contract.evidence.shared_vectors import vector_sets
from model_export.contract.evidence.sides import ALL, KEYED, Side

SAME_VECTOR = 0.98
"""Cosine from which two ready-made vectors show the same."""
BLOCK_PAIRS = 2048
_COLUMN = {channel.name: column for column, channel in enumerate(CHANNELS)}


class Comparison:
    """A list of sides, ready to be compared in pairs."""

    def __init__(self, sides: Sequence[Side], worth: Worth) -> None:
        """Compare `sides`, whose keys are worth bits."""
        self._sets = KeySets([side.keys for side in sides], KEYED, worth)
        unnamed = -1
        self._names = np.array([unnamed if s.name is None else s.name for s in sides], np.int64)
        self._name_bits = worth(np.maximum(self._names, 0).astype(np.uint32))
        self._limits = np.array([side.limit for side in sides], np.uint64)
        self._vectors = vector_sets([side.vectors for side in sides])
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
            sizes = self._sets.sizes(name)
            return (sizes[one] > 0) & (sizes[other] > 0)

        found = self._sets.overlaps(one, other)
        put("text", self._text(one, other, found["text"].bits), shown("text"))
        put("names", self._name(one, other, found["names"].count), shown("names"))
        contacts = found["contacts"]
        put("contacts", ch.contact_levels(contacts.rare, contacts.bits), shown("contacts"))
        put("titles", ch.title_levels(found["titles"].rare), shown("titles"))
        put("tags", ch.tag_levels(found["tags"].bits), shown("tags"))
        labels = "category_language"
        put(labels, ch.category_levels(found[labels].bits), shown(labels))
        for kind in ("pictures", "sounds"):
            seen = copies.get(kind, np.full(len(one), -1))
            shared = np.maximum(found[kind].count, seen)
            # Other files may show the same: without thumbnails of both, only equal ones tell.
            put(kind, ch.count_levels(shared), (seen >= 0) | (shared > 0))
        put("vectors", *self._same_vectors(one, other))
        cosines = np.einsum("pd,pd->p", self._embeddings[one], self._embeddings[other])
        put("embedding", ch.embedding_levels(cosines), self._embedded[one] & self._embedded[other])
        return table

    def _text(self, one: Places, other: Places, bits: Floats) -> Levels:
        limits = np.minimum(self._limits[one], self._limits[other])
        totals = np.minimum(*(self._sets.totals("text", side, limits) for side in (one, other)))
        containment = bits / np.maximum(totals, 1e-6)
        whole = (ALL + 1) / (limits.astype(np.float32) + 1)  # samples stand for so much more
        letters = bits * whole / ch.SHINGLES_PER_LETTER
        return ch.text_levels(containment.astype(np.float32), letters.astype(np.float32))

    def _name(self, one: Places, other: Places, shared: Places) -> Levels:
        shown = self._sets.sizes("names")
        dice = (2 * shared / np.maximum(shown[one] + shown[other], 1)).astype(np.float32)
        same = self._names[one] == self._names[other]
        return ch.name_levels(same, self._name_bits[one], dice)

    def _same_vectors(self, one: Places, other: Places) -> tuple[Levels, NDArray[np.bool_]]:
        """Levels by the number of nearly equal vectors, and whether any can be compared."""
        counts, known = np.zeros(len(one), np.int64), np.zeros(len(one), np.bool_)
        for vectors in self._vectors:
            known |= vectors.has[one] & vectors.has[other]
            counts += vectors.same(one, other, SAME_VECTOR)
        return ch.count_levels(counts), known
