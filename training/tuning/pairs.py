"""Which texts should find each other: a streamer's own, and those of its nearest by behaviour."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.relations import Relation
from training.tuning.texts import Texts

_ABROAD = 0.5
"""Share of the positives that are texts of others, where a streamer has both kinds."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """A batch: A anchors, and then a positive of each.

    Attributes:
        rows: int64 (2A,), data set rows of the streamers.
        texts: int64 (2A,), places among the texts.
    """

    rows: NDArray[np.int64]
    texts: NDArray[np.int64]


class Pairs:
    """Draws anchors and positives among the texts of streamers that may be learned from."""

    def __init__(self, texts: Texts, relation: Relation | None) -> None:
        """Positives across streamers come from `relation`; None = from no other streamer."""
        self._texts, self._relation = texts, relation
        near = np.zeros(0, np.int64) if relation is None else relation.anchors
        self._has_near = np.isin(texts.rows, near)  # (S,)

    def draw(self, anchors: int, rng: np.random.Generator) -> Drawn:
        """Different streamers with a text of each, and a positive of each.

        That is another text of the same streamer or a text of one that is near by behaviour, half
        and half where there are both. Who has neither meets the same text, which dropout makes
        another (SimCSE, Gao 2021).
        """
        texts = self._texts
        place = rng.choice(len(texts.rows), min(anchors, len(texts.rows)), replace=False)  # (A,)
        count = texts.counts[place]
        first = (rng.random(len(place)) * count).astype(np.int64)
        ahead = 1 + (rng.random(len(place)) * (count - 1)).astype(np.int64)  # count = 1: itself
        second = (first + ahead) % count
        partner = place.copy()
        abroad = self._has_near[place] & ((rng.random(len(place)) < _ABROAD) | (count == 1))
        if self._relation is not None and abroad.any():
            rows = self._relation.draw(texts.rows[place[abroad]], rng)
            at = np.searchsorted(texts.rows, rows).clip(max=len(texts.rows) - 1)
            writes = texts.rows[at] == rows  # who is near may show no text
            chosen = np.flatnonzero(abroad)[writes]
            partner[chosen] = at[writes]
            draws = rng.random(len(chosen)) * texts.counts[partner[chosen]]
            second[chosen] = draws.astype(np.int64)
        both = np.concatenate([place, partner])
        which = np.concatenate([first, second])
        return Drawn(texts.rows[both], texts.shown[texts.indptr[both] + which])

    def masks(self, drawn: Drawn) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Which pairs of a batch are wanted (B, B), and which are neither that nor unlike (B, B).

        Those are a text with itself, and what would be called unlike by mistake: equal texts, texts
        of one streamer, and of two that are near by behaviour.
        """
        rows, size = drawn.rows, len(drawn.rows)
        partner = np.roll(np.arange(size), size // 2)
        wanted = np.zeros((size, size), np.float32)
        wanted[np.arange(size), partner] = 1
        excluded = (rows[:, None] == rows) | (drawn.texts[:, None] == drawn.texts)
        if self._relation is not None:
            one, other = np.repeat(rows, size), np.tile(rows, size)
            excluded |= self._relation.alike(one, other).reshape(size, size)
        return wanted, excluded & (wanted == 0)
