"""Near-duplicates: clusters of a list, or the list spread out (打散)."""

import heapq
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BLOCK_ROWS = 1024


@dataclass(frozen=True, eq=False)
class Components:
    """Connected components of a list, as a union-find forest over its places.

    Attributes:
        parent: int64 (N,), never above the place itself; the first place of a component is its own.
        best: float32 (N,), the highest cosine with another place that it is joined with; -1 where
            there is none.
    """

    parent: NDArray[np.int64]
    best: NDArray[np.float32]

    def join(
        self, one: NDArray[np.int64], other: NDArray[np.int64], cosines: NDArray[np.float32]
    ) -> None:
        """Join pairs of places (P,), (P,) with these cosines (P,)."""
        np.maximum.at(self.best, one, cosines)
        np.maximum.at(self.best, other, cosines)
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
        self.best[centre] = max(self.best[centre], cosines.max())
        self.best[others] = np.maximum(self.best[others], cosines)
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


@dataclass(frozen=True)
class Spread:
    """A list re-ordered.

    Attributes:
        order: places of the original list.
        held_back: places that `max_per_cluster` left out of `order`.
        too_close: how many items stand nearer to one of their cluster than the window asks for,
            since the list has too few others to put between.
    """

    order: Sequence[int]
    held_back: Sequence[int]
    too_close: int


def components(contents: NDArray[np.float32], threshold: float) -> Components:
    """Connected components of rows (N, C) of unit length, joined by cosines >= `threshold`.

    Exact, in blocks: N = 10,000 needs 40 MB at a time, however many pairs there are.
    """
    size = len(contents)
    found = Components(np.arange(size), np.full(size, -1, np.float32))
    for start in range(0, size, _BLOCK_ROWS):
        block = contents[start : start + _BLOCK_ROWS] @ contents[start:].T  # (<= block, N - start)
        for place, cosines in enumerate(block, start):
            near = place + 1 + np.flatnonzero(cosines[place - start + 1 :] >= threshold)
            if len(near):
                found.join_star(place, near, cosines[near - start])
    return found


def groups_of(found: Components) -> list[list[int]]:
    """The places of each component, in order, ordered by their first place."""
    groups: dict[int, list[int]] = {}
    for place, first in enumerate(found.labels().tolist()):
        groups.setdefault(first, []).append(place)
    return list(groups.values())


def spread(clusters: Sequence[Sequence[int]], window: int, max_per_cluster: int | None) -> Spread:
    """Re-order a list so that members of one cluster stand at least `window` places apart.

    Stable: each time the earliest item is taken whose cluster was not seen within the window,
    unless a large cluster has to be begun now to fit in at all (as in task scheduling with a
    cool-down). Nobody is lost: what can't be kept apart is appended as near as it must be.
    """
    left = [deque(sorted(places)[:max_per_cluster]) for places in clusters]
    kept = {place for places in left for place in places}
    held_back = sorted(place for places in clusters for place in places if place not in kept)
    by_count: dict[int, set[int]] = {}  # how many items are left -> clusters
    for cluster, places in enumerate(left):
        by_count.setdefault(len(places), set()).add(cluster)
    heads = [(places[0], cluster) for cluster, places in enumerate(left) if places]
    heapq.heapify(heads)
    most = max(by_count, default=0)
    recent: deque[int] = deque(maxlen=window - 1)
    order: list[int] = []
    too_close = 0
    while len(order) < len(kept):
        while not by_count.get(most):
            most -= 1
        # t clusters of n items need (n - 1) * window + t places; when no more are left, one of
        # them must go now. (So few places are left only when t <= window.)
        urgent = (most - 1) * window + len(by_count[most]) >= len(kept) - len(order)
        free = by_count[most] - set(recent) if urgent and most > 1 else set[int]()
        cluster = min(free, key=lambda c: left[c][0]) if free else _earliest(heads, left, recent)
        if cluster in recent:
            too_close += 1
        order.append(left[cluster].popleft())
        recent.append(cluster)
        count = len(left[cluster])
        by_count[count + 1].remove(cluster)
        by_count.setdefault(count, set()).add(cluster)
        if count:
            heapq.heappush(heads, (left[cluster][0], cluster))
    return Spread(order, held_back, too_close)


def _earliest(
    heads: list[tuple[int, int]], left: Sequence[Sequence[int]], recent: Collection[int]
) -> int:
    """The cluster of the earliest item that is not recent; if all are, of the earliest item."""
    aside: list[tuple[int, int]] = []
    found = -1
    while heads and found < 0:
        place, cluster = heapq.heappop(heads)
        if not left[cluster] or left[cluster][0] != place:
            continue  # taken meanwhile, in its cluster's turn
        aside.append((place, cluster))
        if cluster not in recent:
            found = cluster
    for head in aside:
        heapq.heappush(heads, head)
    return found if found >= 0 else aside[0][1]
