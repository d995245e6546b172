"""What should find each other: pieces of one streamer, and those of its nearest by behaviour."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.mining.supervised_pairs import Relation
from training.tuning.items import Items
from training.tuning.shown import Shown

_ABROAD = 0.5
"""Share of the positives that are pieces of others, where a streamer has both kinds."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """A batch: A anchors, and then a positive of each.

    Attributes:
        rows: int64 (2A,), data set rows of the streamers.
        items: int64 (2A,), numbers of what they show.
    """

    rows: NDArray[np.int64]
    items: NDArray[np.int64]


class Pairs:
    """Draws anchors and positives among what those show who may be learned from."""

    def __init__(self, shown: Shown, relation: Relation | None) -> None:
        """Positives across streamers come from `relation`; None = from no other streamer."""
        self._shown, self._relation = shown, relation
        near = np.zeros(0, np.int64) if relation is None else relation.anchors
        self._has_near = np.isin(shown.rows, near)  # (S,)

    @property
    def items(self) -> Items:
        """The pieces that are drawn."""
        return self._shown.items

    def draw(self, anchors: int, rng: np.random.Generator) -> Drawn:
        """Different streamers with a piece of each, and a positive of each.

        That is another piece of the same streamer or a piece of one that is near by behaviour, half
        and half where there are both. A share of `Items.again`, and who has neither, meets another
        view of the same piece.
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
            shows = shown.rows[at] == rows  # who is near may show nothing of the kind
            chosen = np.flatnonzero(abroad)[shows]
            partner[chosen] = at[shows]
            draws = rng.random(len(chosen)) * shown.counts[partner[chosen]]
            second[chosen] = draws.astype(np.int64)
        both = np.concatenate([place, partner])
        which = np.concatenate([first, second])
        return Drawn(shown.rows[both], shown.shown[shown.indptr[both] + which])

    def masks(self, drawn: Drawn) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Which pairs of a batch are wanted (B, B), and which are neither that nor unlike (B, B).

        Those are a piece with itself, and what would be called unlike by mistake: equal pieces,
        those of one streamer, and of two that are near by behaviour.
        """
        rows, size = drawn.rows, len(drawn.rows)
        partner = np.roll(np.arange(size), size // 2)
        wanted = np.zeros((size, size), np.float32)
        wanted[np.arange(size), partner] = 1
        excluded = (rows[:, None] == rows) | (drawn.items[:, None] == drawn.items)
        if self._relation is not None:
            one, other = np.repeat(rows, size), np.tile(rows, size)
            excluded |= self._relation.alike(one, other).reshape(size, size)
        return wanted, excluded & (wanted == 0)
