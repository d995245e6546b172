"""Comparison of pairs of a list: the level that each channel gives to each pair.

Pairs are compared in blocks of arrays. Only keys that two sides of the list show are looked up, so
that a pair with nothing in common costs next to nothing.
"""

from collections.abc import Callable, Generator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence import channels as ch
from model_export.contract.evidence.channels import ABSENT, CHANNELS, Levels
from model_export.contract.evidence.keys import Worth
from model_export.contract.evidence.languages import are_two_scripts
from model_export.contract.evidence.shared_keys import KeySets, Overlap, Places
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
        width = len(KEYED)
        sizes = np.array([side.sizes for side in sides], np.int64).reshape(-1, width + 1)
        counts: list[int] = sizes[:, :width].sum(1).tolist()
        keys = [side.flat[:count] for side, count in zip(sides, counts, strict=True)]
        self._sets = KeySets(keys, np.ascontiguousarray(sizes[:, :width]), KEYED, worth)
        unnamed = -1
        self._names = np.array([unnamed if s.name is None else s.name for s in sides], np.int64)
        self._name_bits = worth(np.maximum(self._names, 0).astype(np.uint32))
        self._limits = np.array([side.limit for side in sides], np.uint64)
        self._scripts = np.array([side.script for side in sides], np.int8)
        self._vectors = vector_sets([side.vectors for side in sides])
        known = [side.embedding for side in sides if side.embedding is not None]
        self._embedded = np.array([side.embedding is not None for side in sides], np.bool_)
        self._embeddings = np.zeros((len(sides), len(known[0]) if known else 0), np.float32)
        if known:
            self._embeddings[self._embedded] = np.stack(known)  # (N, D)

    def levels(
        self,
        one: Places,
        other: Places,
        copies: Mapping[str, Places] | None = None,
        goes_on: Callable[[slice, Levels], NDArray[np.bool_]] | None = None,
    ) -> Generator[None, None, Levels]:
        """The level that each channel gives to each pair (P, channels), `ABSENT` for none.

        A generator that pauses after each block of pairs and returns them in the end.

        Args:
            one: places of one side in the list (P,).
            other: places of the other side (P,).
            copies: `pictures` and `sounds`: how many of a pair are copies by their thumbnails and
                fingerprints (P,), -1 where either side has none or they were not compared.
            goes_on: which pairs of a block are compared by all channels, by the levels of those
                of `DIRECT`; the others have no level for the rest. All are by default.
        """
        parts = [np.zeros((0, len(CHANNELS)), np.int8)]
        for start in range(0, len(one), BLOCK_PAIRS):
            part = slice(start, start + BLOCK_PAIRS)
            seen = {kind: counts[part] for kind, counts in (copies or {}).items()}
            pairs = one[part], other[part]
            found = self._sets.overlaps(*pairs)
            table = np.full((len(pairs[0]), len(CHANNELS)), ABSENT, np.int8)
            self._compare_content(table, *pairs, found, seen)
            if goes_on is None:
                self._compare_rest(table, *pairs, found)
            else:
                rows = np.flatnonzero(goes_on(part, table))
                of_rows = {name: overlap.at(rows) for name, overlap in found.items()}
                some = table[rows]
                self._compare_rest(some, pairs[0][rows], pairs[1][rows], of_rows)
                table[rows] = some
            parts.append(table)
            yield
        return np.concatenate(parts)

    def _compare_content(
        self,
        table: Levels,
        one: Places,
        other: Places,
        found: Mapping[str, Overlap],
        copies: Mapping[str, Places],
    ) -> None:
        """Fill in the channels of `DIRECT`."""
        contacts = ch.contact_levels(found["contacts"].rare, found["contacts"].bits)
        _put(table, "contacts", contacts, self._both_show("contacts", one, other))
        titles = self._sets.sizes("titles")
        fewest = np.minimum(titles[one], titles[other])
        shared = found["titles"].rare
        two = are_two_scripts(self._scripts[one], self._scripts[other])
        # Titles of two languages differ, whoever writes them: they are not compared.
        compared = (fewest > 0) & ((shared > 0) | ~two)
        text = self._text(one, other, found["text"], two, compared & (shared == 0))
        _put(table, "text", text, self._both_show("text", one, other))
        _put(table, "titles", ch.title_levels(shared, fewest), compared)
        for kind in ("pictures", "sounds"):
            seen = copies.get(kind, np.full(len(one), -1))
            shared = np.maximum(found[kind].count, seen)
            # Other files may show the same: without thumbnails of both, only equal ones tell.
            _put(table, kind, ch.count_levels(shared), (seen >= 0) | (shared > 0))
        _put(table, "vectors", *self._same_vectors(one, other))

    def _compare_rest(
        self, table: Levels, one: Places, other: Places, found: Mapping[str, Overlap]
    ) -> None:
        """Fill in the channels that compare what many accounts share."""
        names = self._name(one, other, found["names"].count)
        _put(table, "names", names, self._both_show("names", one, other))
        tags = ch.tag_levels(found["tags"].bits)
        _put(table, "tags", tags, self._both_show("tags", one, other))
        labels = "category_language"
        levels = ch.category_levels(found[labels].bits)
        _put(table, labels, levels, self._both_show(labels, one, other))
        cosines = np.einsum("pd,pd->p", self._embeddings[one], self._embeddings[other])
        is_known = self._embedded[one] & self._embedded[other]
        _put(table, "embedding", ch.embedding_levels(cosines), is_known)

    def _both_show(self, channel: str, one: Places, other: Places) -> NDArray[np.bool_]:
        shows = self._sets.sizes(channel) > 0
        return shows[one] & shows[other]

    def _text(
        self,
        one: Places,
        other: Places,
        shared: Overlap,
        two_scripts: NDArray[np.bool_],
        other_titles: NDArray[np.bool_],
    ) -> Levels:
        limits = np.minimum(self._limits[one], self._limits[other])
        totals = np.minimum(*(self._sets.totals("text", side, limits) for side in (one, other)))
        containment = shared.bits / np.maximum(totals, 1e-6)
        whole = (ALL + 1) / (limits.astype(np.float32) + 1)  # samples stand for so much more
        letters = shared.bits * whole / ch.SHINGLES_PER_LETTER
        shown = self._sets.sizes("text")
        return ch.text_levels(
            containment.astype(np.float32),
            letters.astype(np.float32),
            (shared.rare * whole).astype(np.float32),
            np.minimum(shown[one], shown[other]),
            (shared.words * whole).astype(np.float32),
            two_scripts,
            other_titles,
        )

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


def _put(table: Levels, channel: str, levels: Levels, known: NDArray[np.bool_]) -> None:
    """Fill in a column of a table (P, channels)."""
    table[:, _COLUMN[channel]] = np.where(known, levels, ABSENT)
