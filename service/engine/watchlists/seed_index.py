"""The seeds that a written streamer may reach, among many thousands.

For a streamer and all seeds at once: one matrix product gives the cosines of the embeddings, and an
inverted index over *all* keys of the seeds gives what is shared of each channel. Where nothing is
shared, the weight of the channel is known; elsewhere it is bounded from above (`bounds`). A seed is
left out only if the sum of these is below what its list requires, so no seed is left out that the
exact comparison would find. There is no nearest-neighbour search and no sample of keys in it.

Most seeds share no content with a streamer. What the other channels can add at most, by what the
streamer shows and by its largest cosine, is too little for most lists: their seeds are left out by
that alone, and only the others are looked at one by one.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence import (
    DIRECT,
    KEYED,
    NAMES_OF_CHANNELS,
    SAME_VECTOR,
    Levels,
    Side,
    are_two_scripts,
)
from model_export.contract.evidence.channels import (
    SHINGLES_PER_LETTER,
    category_levels,
    contact_levels,
    count_levels,
    embedding_levels,
    name_levels,
    rare_from,
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
_CONTENT = [name for name in KEYED if name in DIRECT]
_LABELS = [name for name in KEYED if name not in DIRECT]
_FEW = 8
"""Of seeds that are fewer than one in so many, what is shared is summed up without the others."""
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
        self._order = np.argsort(self._required, kind="stable")
        self._ascending = self._required[self._order]
        self._sizes = {
            name: np.array([len(side.of(name)) for side in sides], np.int64) for name in KEYED
        }
        self._shown = np.stack([self._sizes[name] > 0 for name in _PLAIN], 1).astype(np.float64)
        self._names = np.array([-1 if s.name is None else s.name for s in sides], np.int64)
        self._limits = np.array([side.limit for side in sides], np.uint64)
        self._scripts = np.array([s.script for s in sides], np.int8)
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
                found.append(self._reached(side, column))
                yield
        return found

    def _cosines(self, written: Sequence[Side]) -> list[Vectors | None]:
        """With the seeds that have an embedding (E,); None of a streamer that has none."""
        known = [side.embedding for side in written if side.embedding is not None]
        if self._embeddings is None or not known:
            return [None] * len(written)
        columns = iter(np.stack(known) @ self._embeddings.T)  # (W, E)
        return [None if side.embedding is None else next(columns) for side in written]

    def _reached(self, side: Side, cosines: Vectors | None) -> Rows:
        """Rows of seeds whose bound is as high as their lists require (R,), ascending."""
        gains = self._vector_gains(side)
        for name in _CONTENT:
            shared = self._shared(name, side)
            if shared is not None:
                gains.append((shared.rows, self._gain(name, self._levels(name, side, shared))))
        some = [rows[gain > 0] for rows, gain in gains]
        within = np.searchsorted(self._ascending, self._most_without(side, cosines), "right")
        rows = np.unique(np.concatenate([self._order[:within], *some]))  # (R,)
        if not len(rows):
            return rows
        place = np.full(self._size, -1, np.int64)
        place[rows] = np.arange(len(rows))
        total = self._base(side, rows)
        for name in _LABELS:
            shared = self._shared(name, side, place)
            if shared is not None:
                gain = self._gain(name, self._levels(name, side, shared))
                total[place[shared.rows]] += gain
        for of, gain in gains:
            at = place[of]
            total[at[at >= 0]] += gain[at >= 0]
        if cosines is not None:
            at = place[self._embedded]
            levels = embedding_levels(cosines[at >= 0] + np.float32(SLACK))
            total[at[at >= 0]] += self._bounds.of("embedding", levels)
        return rows[total >= self._required[rows]]

    def _most_without(self, side: Side, cosines: Vectors | None) -> float:
        """What a streamer weighs at most with a seed with which it shares no content."""
        worth = self._evidence.worth
        most = sum(max(self._last(name), 0.0) for name in _PLAIN if len(side.of(name)))
        most += max(self._last("vectors"), 0.0) if side.vectors else 0.0
        for name, levels_of in (("tags", tag_levels), ("category_language", category_levels)):
            bits = worth(side.of(name)).sum(dtype=float) * (1 + SLACK) + SLACK
            most += self._most(name, levels_of(np.array([bits], np.float32)))
        if len(side.of("names")):
            most += self._most("names", np.zeros(1, np.int8))
        if cosines is not None:
            nearest = np.array([cosines.max(initial=-1) + SLACK], np.float32)
            most += self._most("embedding", embedding_levels(nearest))
        return most

    def _most(self, name: str, level: Levels) -> float:
        """What a channel adds at most at this level (1,), or where it is absent."""
        return max(float(self._bounds.of(name, level)[0]), 0.0)

    def _base(self, side: Side, rows: Rows) -> Bits:
        """What the streamer weighs with seeds (R,) of which it shares no key."""
        weights = [self._last(name) if len(side.of(name)) else 0.0 for name in _PLAIN]
        known = np.zeros(self._size, np.bool_)
        for space, ours in side.vectors.items():
            found = self._vectors.get((space, ours.shape[1]))
            if found is not None and len(ours):
                known[found[0]] = True
        base = self._shown[rows] @ np.array(weights) + known[rows] * self._last("vectors")
        # Titles of two scripts are absent where none is shared.
        two = are_two_scripts(self._scripts[rows], np.array(side.script, np.int8))
        absent = two & (self._sizes["titles"][rows] > 0)
        return base + absent * max(-weights[_PLAIN.index("titles")], 0.0)

    def _last(self, name: str) -> float:
        return float(self._bounds.last[NAMES_OF_CHANNELS.index(name)])

    def _gain(self, name: str, levels: Levels) -> Bits:
        """What a channel makes of a weight at most, at these levels (N,) in place of the last."""
        base = 0.0 if name in _UNSHARED else self._last(name)
        return self._bounds.of(name, levels) + self._bounds.told(name, levels) - base

    def _shared(self, name: str, side: Side, place: Rows | None = None) -> "_Shared | None":
        """What seeds share of a channel; None if none shares anything.

        Args:
            name: of the channel.
            side: of the streamer.
            place: those at -1 are left out; None = none is.
        """
        keys = side.of(name)
        codes = np.int64(KEYED.index(name)) << _SHIFT | keys.astype(np.int64)
        places = np.searchsorted(self._codes, codes)
        known = np.flatnonzero(
            self._codes[np.minimum(places, len(self._codes) - 1)] == codes
            if len(self._codes)
            else np.zeros(len(codes), np.bool_)
        )
        if not len(known):
            return None
        begins, ends = self._begins[places[known]], self._begins[places[known] + 1]
        counts = ends - begins
        which = np.repeat(np.arange(len(known)), counts)  # (H,)
        at = np.arange(len(which)) + np.repeat(begins - np.cumsum(counts) + counts, counts)
        rows, bits = self._rows[at], self._evidence.worth(keys[known]).astype(np.float64)[which]
        if place is not None:
            kept = place[rows] >= 0
            rows, bits = rows[kept], bits[kept]
        if len(rows) * _FEW < self._size:
            distinct, which = np.unique(rows, return_inverse=True)
            count = np.bincount(which, minlength=len(distinct))
        else:
            which, count = rows, np.bincount(rows, minlength=self._size)
            distinct = np.flatnonzero(count)
        size = len(count)
        sums = np.bincount(which, bits, size).astype(np.float64)
        least = rare_from(name, self._evidence.worth.unknown_bits)
        rare = np.bincount(which[bits >= least], minlength=size)
        if size != len(distinct):
            count, sums, rare = count[distinct], sums[distinct], rare[distinct]
        return _Shared(distinct.astype(np.int64), count, sums, rare)

    def _levels(self, name: str, side: Side, shared: "_Shared") -> Levels:
        """Levels that are none too weak, of seeds (N,) that share keys of a channel."""
        rows, count, rare = shared.rows, shared.count, shared.rare
        more = (shared.bits * (1 + SLACK) + SLACK).astype(np.float32)
        if name == "text":
            return self._text_levels(side, shared, more)
        if name == "names":
            sizes = self._sizes["names"][rows] + len(side.of("names"))
            dice = (2 * count / sizes * (1 + SLACK)).astype(np.float32)
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
        return count_levels(count)

    def _text_levels(self, side: Side, shared: "_Shared", bits: NDArray[np.float32]) -> Levels:
        rows = shared.rows
        limits = np.minimum(self._limits[rows], np.uint64(side.limit))
        own = float(self._evidence.worth(side.of("text")).sum(dtype=float))
        totals = np.minimum(self._text_bits[rows], own)
        # Of a sample the totals are those below its limit: they are not known here, and smaller.
        containment = np.where(limits == ALL, bits / np.maximum(totals, 1e-6), 1.0)
        whole = (ALL + 1) / (limits.astype(np.float64) + 1)
        letters = (bits * whole / SHINGLES_PER_LETTER * (1 + SLACK)).astype(np.float32)
        more = (containment * (1 + SLACK)).astype(np.float32)
        rare = (shared.rare * whole * (1 + SLACK)).astype(np.float32)
        fewest = np.minimum(self._sizes["text"][rows], len(side.of("text")))
        two = are_two_scripts(self._scripts[rows], np.array(side.script, np.int8))
        # All shared keys as if each were a word of its own.
        words = (shared.count * whole * (1 + SLACK)).astype(np.float32)
        return text_levels(more, letters, rare, fewest, words, two, np.zeros(len(rows), np.bool_))

    def _vector_gains(self, side: Side) -> list[tuple[Rows, Bits]]:
        """Seeds with a vector that is nearly equal to one of the streamer's, with what that adds.

        One product for each space that both show.
        """
        shared = np.zeros(self._size if side.vectors else 0, np.int64)
        for space, ours in side.vectors.items():
            found = self._vectors.get((space, ours.shape[1]))
            if found is None or not len(ours):
                continue
            rows, theirs = found
            same = theirs @ ours.T >= SAME_VECTOR - SLACK  # (V, ours)
            # As many of both sides as the smaller number of either: no more than of theirs.
            shared += np.bincount(rows[same.any(1)], minlength=self._size)
        rows = np.flatnonzero(shared)
        return [(rows, self._gain("vectors", count_levels(shared[rows])))] if len(rows) else []


@dataclass(frozen=True, eq=False)
class _Shared:
    """What seeds share of a channel.

    Attributes:
        rows: of the seeds (N,), ascending.
        count: how many keys they share (N,).
        bits: of these (N,).
        rare: how many of them are rare (N,).
    """

    rows: Rows
    count: Rows
    bits: Bits
    rare: Rows


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
