"""Diversified feed (打散): a list re-ordered so that near-duplicates stand apart."""

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

_Heap = list[tuple[int, int]]


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


def spread(clusters: Sequence[Sequence[int]], window: int, max_per_cluster: int | None) -> Spread:
    """Re-order a list so that members of one cluster stand at least `window` places apart.

    Stable: each time the earliest item is taken whose cluster was not seen within the window,
    unless a large cluster has to be begun now to fit in at all (as in task scheduling with a
    cool-down). Nobody is lost: what can't be kept apart is appended as near as it must be.
    """
    left = _Left([deque(sorted(places)[:max_per_cluster]) for places in clusters])
    total = left.total
    order: list[int] = []
    recent: deque[int] = deque()
    too_close = 0
    while len(order) < total:
        # t clusters of n items need (n - 1) * window + t places; when no more are left, one of
        # them must go now. (So few places are left only when t <= window.)
        most, many = left.largest()
        urgent = most > 1 and (most - 1) * window + many >= total - len(order)
        cluster = left.earliest_of(most) if urgent else None
        if cluster is None:
            cluster = left.earliest()
        too_close += left.is_recent(cluster)
        order.append(left.take(cluster))
        recent.append(cluster)
        if len(recent) == window:
            left.rest(recent.popleft())
    kept = set(order)
    held_back = sorted(place for places in clusters for place in places if place not in kept)
    return Spread(order, held_back, too_close)


class _Left:
    """Items that are left of each cluster. Each step takes time in the logarithm of the clusters.

    Heaps have an entry, the next item with its cluster, whenever a cluster may have got in; what is
    not its next item any more, or is recent again, is passed over.

    Attributes:
        total: items at the beginning.
    """

    def __init__(self, places: Sequence[deque[int]]) -> None:
        self.total = sum(map(len, places))
        self._places = places
        self._sizes = Counter(map(len, places))
        self._most = max(self._sizes, default=0)
        self._recent = Counter[int]()
        self._all = _Heap()
        self._rested = _Heap()
        self._rested_of: defaultdict[int, _Heap] = defaultdict(_Heap)
        for cluster, some in enumerate(places):
            if some:
                heapq.heappush(self._all, (some[0], cluster))
                self._enter(cluster)

    def largest(self) -> tuple[int, int]:
        """The most items that a cluster has, and how many clusters have so many."""
        while not self._sizes[self._most]:
            self._most -= 1
        return self._most, self._sizes[self._most]

    def is_recent(self, cluster: int) -> bool:
        """Whether a cluster was seen within the window."""
        return self._recent[cluster] > 0

    def earliest_of(self, size: int) -> int | None:
        """Of the clusters with so many items the one whose next is first; None of recent ones."""
        return self._first(self._rested_of[size], rested=True)

    def earliest(self) -> int:
        """The cluster of the first item that is not of a recent one; if all are, of the first."""
        found = self._first(self._rested, rested=True)
        if found is None:
            found = self._first(self._all, rested=False)
        assert found is not None
        return found

    def take(self, cluster: int) -> int:
        """The next item of a cluster, which is recent until it rests."""
        some = self._places[cluster]
        self._sizes[len(some)] -= 1
        taken = some.popleft()
        self._sizes[len(some)] += 1
        self._recent[cluster] += 1
        if some:
            heapq.heappush(self._all, (some[0], cluster))
        return taken

    def rest(self, cluster: int) -> None:
        """One item of a cluster has left the window."""
        self._recent[cluster] -= 1
        if self._places[cluster] and not self._recent[cluster]:
            self._enter(cluster)

    def _enter(self, cluster: int) -> None:
        some = self._places[cluster]
        heapq.heappush(self._rested, (some[0], cluster))
        heapq.heappush(self._rested_of[len(some)], (some[0], cluster))

    def _first(self, heap: _Heap, *, rested: bool) -> int | None:
        while heap:
            place, cluster = heap[0]
            some = self._places[cluster]
            if some and some[0] == place and not (rested and self._recent[cluster]):
                return cluster
            heapq.heappop(heap)
        return None
