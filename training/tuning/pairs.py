"""Positive pairs for tuning: pieces of one streamer, and of its behavioural neighbours."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.mining.supervised_pairs import Relation
from training.tuning.items import Items
from training.tuning.shown import Shown

_ABROAD = 0.5
"""Share of positives from neighbours, for streamers with both kinds of positives."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """A batch of A anchors, followed by a positive of each.

    Attributes:
        rows: int64 (2A,), data set rows of the streamers.
        items: int64 (2A,), item numbers.
    """

    rows: NDArray[np.int64]
    items: NDArray[np.int64]


class Pairs:
    """Sampler of anchors and positives among training streamers."""

    def __init__(self, shown: Shown, relation: Relation | None, groups: NDArray[np.int64]) -> None:
        """Index the streamers with positives of others.

        Args:
            shown: pieces of the training streamers.
            relation: gives positives of other streamers; None = none of them.
            groups: group of known near-duplicates of each data set row.
        """
        self._shown, self._relation, self._groups = shown, relation, groups
        near = np.zeros(0, np.int64) if relation is None else relation.anchors
        self._has_near = np.isin(shown.rows, near)  # (S,)

    @property
    def items(self) -> Items:
        """The pieces that are drawn."""
        return self._shown.items

    def draw(self, anchors: int, rng: np.random.Generator) -> Drawn:
        """Draw distinct streamers, a piece of each, and a positive of each piece.

        A positive is another piece of the streamer or a piece of a behavioural neighbour, with
        equal probability if there are both. For a share `Items.again`, and without either, it is
        another view of the same piece.
        """
        shown = self._shown
        place = rng.choice(len(shown.rows), min(anchors, len(shown.rows)), replace=False)  # (A,)
        count = shown.counts[place]
        first = (rng.random(len(place)) * count).astype(np.int64)
        ahead = 1 + (rng.random(len(place)) * (count - 1)).astype(np.int64)  # count = 1: itself
        second = (first + ahead) % count
        partner = place.copy()
        abroad = self._has_near[place] & ((rng.random(len(place)) < _ABROAD) | (count == 1))
        if shown.items.again:
            again = rng.random(len(place)) < shown.items.again
            second, abroad = np.where(again, first, second), abroad & ~again
        if self._relation is not None and abroad.any():
            rows = self._relation.draw(shown.rows[place[abroad]], rng)
            at = np.searchsorted(shown.rows, rows).clip(max=len(shown.rows) - 1)
            shows = shown.rows[at] == rows  # a neighbour may have no such piece
            chosen = np.flatnonzero(abroad)[shows]
            partner[chosen] = at[shows]
            draws = rng.random(len(chosen)) * shown.counts[partner[chosen]]
            second[chosen] = draws.astype(np.int64)
        both = np.concatenate([place, partner])
        which = np.concatenate([first, second])
        return Drawn(shown.rows[both], shown.shown[shown.indptr[both] + which])

    def masks(self, drawn: Drawn) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Positive pairs of a batch (B, B), and pairs to ignore (B, B).

        Ignored are a piece with itself and likely false negatives: equal pieces, pieces of one
        streamer, of near-duplicates, and of two related streamers.
        """
        rows, size = drawn.rows, len(drawn.rows)
        partner = np.roll(np.arange(size), size // 2)
        wanted = np.zeros((size, size), np.float32)
        wanted[np.arange(size), partner] = 1
        groups = self._groups[rows]
        excluded = (groups[:, None] == groups) | (drawn.items[:, None] == drawn.items)
        if self._relation is not None:
            one, other = np.repeat(rows, size), np.tile(rows, size)
            excluded |= self._relation.alike(one, other).reshape(size, size)
        return wanted, excluded & (wanted == 0)
