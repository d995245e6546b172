"""The seeds that a written streamer may reach, among many thousands.

For a streamer and all seeds at once: one matrix product gives the cosines of the embeddings, and an
inverted index over *all* keys of the seeds gives what is shared of each channel. Where nothing is
shared, the weight of the channel is known; elsewhere it is bounded from above (`bounds`). A seed is
left out only if the sum of these is below what its list requires, so no seed is left out that the
exact comparison would find. There is no nearest-neighbour search and no sample of keys in it.
"""

from collections.abc import Generator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence import KEYED, NAMES_OF_CHANNELS, SAME_VECTOR, Levels, Side
from model_export.contract.evidence.channels import (
    COSINES,
    RARE_BITS,
    SHINGLES_PER_LETTER,
    category_levels,
    contact_levels,
    count_levels,
    embedding_levels,
    name_levels,
    tag_levels,
    text_levels,
    title_levels,
)
from model_export.contract.evidence.sides import ALL
from service.engine.evidence.engine import Evidence
from service.engine.watchlists.bounds import SLACK, Bits, Bounds

Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]
_SHIFT = 32
"""A code is the number of a channel, and a key below it."""
_MARGIN = 1e-3
"""Bits: the bounds are added in another order than weights."""
_UNSHARED = frozenset({"pictures", "sounds"})
"""Channels that are absent where nothing is shared: other files may show the same."""
_PLAIN = [name for name in KEYED if name not in _UNSHARED]
_AT_ONCE = 16
"""Streamers whose cosines with all seeds are computed together."""


class SeedIndex:
    """Seeds that never change. Any thread may ask."""

    def __init__(self, sides: Sequence[Side], required: Bits, evidence: Evidence) -> None:
        """Index S seeds.

        Args:
            sides: of the seeds.
            required: match weight that a streamer needs with each seed (S,).
            evidence: of the model.
        """
        self._evidence = evidence
        self._bounds = Bounds(evidence.matcher)
        self._size = len(sides)
        self._required = required - _MARGIN
        self._sizes = {
            name: np.array([len(side.of(name)) for side in sides], np.int64) for name in KEYED
        }
        self._shown = np.stack([self._sizes[name] > 0 for name in _PLAIN], 1).astype(np.float64)
        self._names = np.array([-1 if s.name is None else s.name for s in sides], np.int64)
        self._limits = np.array([side.limit for side in sides], np.uint64)
        worth = evidence.worth
        self._text_bits = np.array([float(worth(s.of("text")).sum(dtype=float)) for s in sides])
        self._index_keys(sides)
        known = [(row, s.embedding) for row, s in enumerate(sides) if s.embedding is not None]
        self._embedded = np.array([row for row, _ in known], np.int64)  # (E,)
        self._embeddings = np.stack([v for _, v in known]) if known else None  # (E, D)
        self._vectors = _vectors_by_space(sides)

    def _index_keys(self, sides: Sequence[Side]) -> None:
        codes = [
            np.int64(number) << _SHIFT | side.of(name).astype(np.int64)
            for side in sides
            for number, name in enumerate(KEYED)
        ]
        sizes = [len(some) for some in codes]
        rows = np.repeat(np.arange(len(codes)) // len(KEYED), sizes)
        joined = np.concatenate([np.zeros(0, np.int64), *codes])
        order = np.argsort(joined, kind="stable")
        self._codes, begins = np.unique(joined[order], return_index=True)
        self._begins = np.append(begins, len(joined))
        self._rows = rows[order].astype(np.int32)

    def reached(self, written: Sequence[Side]) -> Generator[None, None, list[Rows]]:
        """Rows of the seeds that each streamer may reach; pauses after each of them."""
        found: list[Rows] = []
        for start in range(0, len(written), _AT_ONCE):
            part = written[start : start + _AT_ONCE]
            cosines = self._cosines(part)
            for side, column in zip(part, cosines, strict=True):
                found.append(np.flatnonzero(self._bound(side, column) >= self._required))
                yield
        return found

    def _cosines(self, written: Sequence[Side]) -> list[Vectors | None]:
        """With the seeds that have an embedding (E,); None of a streamer that has none."""
        known = [side.embedding for side in written if side.embedding is not None]
        if self._embeddings is None or not known:
            return [None] * len(written)
        columns = iter((self._embeddings @ np.stack(known).T).T)  # (W, E)
        return [None if side.embedding is None else next(columns) for side in written]

    def _bound(self, side: Side, cosines: Vectors | None) -> Bits:
        """What the streamer weighs at most with each seed (S,)."""
        bounds, last = self._bounds, dict(zip(NAMES_OF_CHANNELS, self._bounds.last, strict=True))
        total = self._shown @ np.array([last[c] if len(side.of(c)) else 0.0 for c in _PLAIN])
        for name, rows, levels in self._shared(side):
            base = 0.0 if name in _UNSHARED else last[name]
            total[rows] += bounds.of(name, levels) - base + bounds.told(name, levels)
        if cosines is not None:
            at_least = cosines + np.float32(SLACK)
            weights = np.full(len(at_least), bounds.last[NAMES_OF_CHANNELS.index("embedding")])
            near = np.flatnonzero(at_least >= COSINES[-1])
            weights[near] = bounds.of("embedding", embedding_levels(at_least[near]))
            total[self._embedded] += weights
        self._add_vectors(total, side)
        return total

    def _shared(self, side: Side) -> Generator[tuple[str, Rows, Levels], None, None]:
        """By channel, the rows that share a key, and a level that is none too weak."""
        for number, name in enumerate(KEYED):
            keys = side.of(name)
            codes = np.int64(number) << _SHIFT | keys.astype(np.int64)
            places = np.searchsorted(self._codes, codes)
            known = np.flatnonzero(
                self._codes[np.minimum(places, len(self._codes) - 1)] == codes
                if len(self._codes)
                else np.zeros(len(codes), np.bool_)
            )
            if not len(known):
                continue
            begins, ends = self._begins[places[known]], self._begins[places[known] + 1]
            counts = ends - begins
            which = np.repeat(np.arange(len(known)), counts)
            at = np.arange(len(which)) + np.repeat(begins - np.cumsum(counts) + counts, counts)
            rows = self._rows[at]
            bits = self._evidence.worth(keys[known]).astype(np.float64)
            shared = np.bincount(rows, minlength=self._size)
            hit = np.flatnonzero(shared)
            sums = np.bincount(rows, bits[which], self._size).astype(np.float64)[hit]
            rare = np.bincount(rows[bits[which] >= RARE_BITS], minlength=self._size)[hit]
            yield name, hit, self._levels(name, side, hit, shared[hit], sums, rare)

    def _levels(
        self, name: str, side: Side, rows: Rows, shared: Rows, bits: Bits, rare: Rows
    ) -> Levels:
        """Levels that are none too weak, of rows (N,) that share keys of a channel.

        Args:
            name: of the channel.
            side: of the streamer.
            rows: of the seeds.
            shared: how many keys they share (N,).
            bits: of these (N,).
            rare: how many of them are rare (N,).
        """
        more = (bits * (1 + SLACK) + SLACK).astype(np.float32)
        if name == "text":
            return self._text_levels(side, rows, more)
        if name == "names":
            sizes = self._sizes["names"][rows] + len(side.of("names"))
            dice = (2 * shared / sizes * (1 + SLACK)).astype(np.float32)
            own = -1 if side.name is None else side.name
            worth = self._evidence.worth(np.array([max(own, 0)], np.uint32))
            same = self._names[rows] == own
            return name_levels(same, np.full(len(rows), worth[0], np.float32), dice)
        if name == "contacts":
            return contact_levels(rare, more)
        if name == "titles":
            fewest = np.minimum(self._sizes["titles"][rows], len(side.of("titles")))
            return title_levels(rare, fewest)
        if name == "tags":
            return tag_levels(more)
        if name == "category_language":
            return category_levels(more)
        return count_levels(shared)

    def _text_levels(self, side: Side, rows: Rows, bits: NDArray[np.float32]) -> Levels:
        limits = np.minimum(self._limits[rows], np.uint64(side.limit))
        own = float(self._evidence.worth(side.of("text")).sum(dtype=float))
        totals = np.minimum(self._text_bits[rows], own)
        # Of a sample the totals are those below its limit: they are not known here, and smaller.
        containment = np.where(limits == ALL, bits / np.maximum(totals, 1e-6), 1.0)
        whole = (ALL + 1) / (limits.astype(np.float64) + 1)
        letters = (bits * whole / SHINGLES_PER_LETTER * (1 + SLACK)).astype(np.float32)
        return text_levels((containment * (1 + SLACK)).astype(np.float32), letters)

    def _add_vectors(self, total: Bits, side: Side) -> None:
        """Add what ready-made vectors weigh: one product for each space that both show."""
        shared, known = np.zeros(self._size, np.int64), np.zeros(self._size, np.bool_)
        for space, ours in side.vectors.items():
            found = self._vectors.get((space, ours.shape[1]))
            if found is None or not len(ours):
                continue
            rows, theirs = found
            known[rows] = True
            same = theirs @ ours.T >= SAME_VECTOR - SLACK  # (V, ours)
            # As many of both sides as the smaller number of either: no more than of theirs.
            shared += np.bincount(rows[same.any(1)], minlength=self._size)
        if known.any():
            levels = count_levels(shared)
            gain = self._bounds.of("vectors", levels) + self._bounds.told("vectors", levels)
            total += np.where(known, gain, 0.0)


def _vectors_by_space(
    sides: Sequence[Side],
) -> Mapping[tuple[str, int], tuple[Rows, Vectors]]:
    """Vectors of all seeds, by space and width: rows (V,) and vectors (V, width)."""
    by_space: dict[tuple[str, int], list[tuple[int, Vectors]]] = {}
    for row, side in enumerate(sides):
        for space, vectors in side.vectors.items():
            if len(vectors):
                by_space.setdefault((space, vectors.shape[1]), []).append((row, vectors))
    return {
        space: (
            np.repeat([row for row, _ in some], [len(vectors) for _, vectors in some]),
            np.concatenate([vectors for _, vectors in some]),
        )
        for space, some in by_space.items()
    }
