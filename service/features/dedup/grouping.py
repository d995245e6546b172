"""Connected components: near-duplicates of a list, as clusters."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.engine.evidence.media_copies import SameMedia

_BLOCK_ROWS = 128
"""Compared with all others at a time, some 10 ms of a core for 10,000 rows."""

_PAIRS_AT_ONCE = 8192


@dataclass(frozen=True, eq=False)
class Components:
    """Connected components of a list, as a union-find forest over its places.

    Attributes:
        parent: int64 (N,), never above the place itself; the first place of a component is its own.
        best: float32 (N,), the highest cosine with another place that it is joined with; -1 where
            there is none.
        partner: int64 (N,), that other place; -1 where there is none.
    """

    parent: NDArray[np.int64]
    best: NDArray[np.float32]
    partner: NDArray[np.int64]

    def join(
        self, one: NDArray[np.int64], other: NDArray[np.int64], cosines: NDArray[np.float32]
    ) -> None:
        """Join pairs of places (P,), (P,) with these cosines (P,)."""
        for places, others in ((one, other), (other, one)):
            order = np.argsort(cosines, kind="stable")
            better = order[cosines[order] > self.best[places[order]]]
            self.partner[places[better]] = others[better]  # of several the last, the highest
            self.best[places[better]] = cosines[better]
        while True:
            one, other = self._roots(one), self._roots(other)
            apart = one != other
            if not apart.any():
                return
            one, other = one[apart], other[apart]
            higher = np.maximum(one, other)
            np.minimum.at(self.parent, higher, np.minimum(one, other))
            self._shorten(higher)

    def join_star(
        self, centre: int, others: NDArray[np.int64], cosines: NDArray[np.float32]
    ) -> None:
        """Join one place with some others (P,), each given once, with these cosines (P,)."""
        highest = int(cosines.argmax())
        if cosines[highest] > self.best[centre]:
            self.best[centre], self.partner[centre] = cosines[highest], others[highest]
        better = cosines > self.best[others]
        self.partner[others[better]] = centre
        self.best[others[better]] = cosines[better]
        roots = self._roots(np.append(others, centre))
        self.parent[roots] = roots.min()

    def labels(self) -> NDArray[np.int64]:
        """The first place of each place's component (N,)."""
        return self._roots(np.arange(len(self.parent)))

    def _shorten(self, places: NDArray[np.int64]) -> None:
        """Hang places (P,) below their roots, halving the chains between them in each pass."""
        while True:
            parents = self.parent[places]
            above = self.parent[parents]
            if (above == parents).all():
                return
            self.parent[places] = above

    def _roots(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The roots of places (P,), which become their parents."""
        roots = self.parent[places]
        while True:
            above = self.parent[roots]
            if (above == roots).all():
                self.parent[places] = roots
                return roots
            roots = above


def components(
    contents: NDArray[np.float32], threshold: float
) -> Generator[None, None, Components]:
    """Connected components of rows (N, C) of unit length, joined by cosines >= `threshold`.

    Exact. A generator that pauses after each block of rows and returns them in the end; N = 10,000
    needs 5 MB at a time, however many pairs there are.
    """
    size = len(contents)
    best, partner = np.full(size, -1, np.float32), np.full(size, -1)
    found = Components(np.arange(size), best, partner)
    for start in range(0, size, _BLOCK_ROWS):
        block = contents[start : start + _BLOCK_ROWS] @ contents[start:].T  # (<= block, N - start)
        for place, cosines in enumerate(block, start):
            near = place + 1 + np.flatnonzero(cosines[place - start + 1 :] >= threshold)
            if len(near):
                found.join_star(place, near, cosines[near - start])
        yield
    return found


def join_pairs(
    found: Components, matrix: NDArray[np.float32], alike: Sequence[SameMedia]
) -> NDArray[np.int64]:
    """Join streamers that share media, whatever the cosines of their sketches (N, C).

    Returns:
        The most copies that each place shares with another one (N,).
    """
    copies = np.zeros(len(matrix), np.int64)
    for start in range(0, len(alike), _PAIRS_AT_ONCE):
        part = alike[start : start + _PAIRS_AT_ONCE]
        pairs = np.array([(pair.one, pair.other, pair.copies) for pair in part])  # (P, 3)
        one, other, counts = pairs.T
        found.join(one, other, np.einsum("pc,pc->p", matrix[one], matrix[other]))
        np.maximum.at(copies, one, counts)
        np.maximum.at(copies, other, counts)
    return copies


def groups_of(found: Components) -> list[list[int]]:
    """The places of each component, in order, ordered by their first place."""
    groups: dict[int, list[int]] = {}
    for place, first in enumerate(found.labels().tolist()):
        groups.setdefault(first, []).append(place)
    return list(groups.values())
