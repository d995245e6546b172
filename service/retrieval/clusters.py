"""Near-duplicates: clusters of a list, or the list spread out (打散)."""

import heapq
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BLOCK_ROWS = 1024


@dataclass(frozen=True)
class Pair:
    """Two places of a list whose content is alike."""

    first: int
    second: int
    score: float


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


def near_pairs(contents: NDArray[np.float32], threshold: float) -> list[Pair]:
    """All pairs of rows (N, C) of unit length whose cosine is at least `threshold`.

    Exact, in blocks: N = 10,000 needs 40 MB at a time.
    """
    pairs: list[Pair] = []
    for start in range(0, len(contents), _BLOCK_ROWS):
        block = contents[start : start + _BLOCK_ROWS] @ contents[start:].T  # (<= block, N - start)
        for i, j in np.argwhere(block >= threshold).tolist():
            if j > i:
                pairs.append(Pair(start + i, start + j, float(block[i, j])))
    return pairs


def clusters_of(size: int, pairs: Sequence[Pair]) -> list[list[int]]:
    """Connected components of `size` places, each in order, ordered by their first place."""
    parent = list(range(size))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    for pair in pairs:
        a, b = sorted((root(pair.first), root(pair.second)))
        parent[b] = a  # the earliest place leads
    members: dict[int, list[int]] = {}
    for place in range(size):
        members.setdefault(root(place), []).append(place)
    return list(members.values())


def spread(clusters: Sequence[Sequence[int]], window: int, max_per_cluster: int | None) -> Spread:
    """Re-order a list so that members of one cluster stand at least `window` places apart.

    Stable: each time the earliest item is taken whose cluster was not seen within the window,
    unless a large cluster has to be begun now to fit in at all (as in task scheduling with a
    cool-down). Nobody is lost: what can't be kept apart is appended as near as it must be.
    """
    cluster_of = {place: c for c, places in enumerate(clusters) for place in places}
    taken: Counter[int] = Counter()
    held_back: list[int] = []
    remaining: list[int] = []
    for place in sorted(cluster_of):
        taken[cluster_of[place]] += 1
        fits = max_per_cluster is None or taken[cluster_of[place]] <= max_per_cluster
        (remaining if fits else held_back).append(place)
    left = Counter(cluster_of[place] for place in remaining)
    largest = [(-count, cluster) for cluster, count in left.items()]
    heapq.heapify(largest)
    recent: deque[int] = deque(maxlen=max(0, window - 1))
    order: list[int] = []
    too_close = 0
    while remaining:
        count, cluster = -largest[0][0], largest[0][1]
        # A cluster of n needs (n - 1) * window + 1 places; when no more are left, it must go now.
        must_go = count > 1 and (count - 1) * window + 1 >= len(remaining)
        if must_go and cluster not in recent:
            at = next(i for i, place in enumerate(remaining) if cluster_of[place] == cluster)
        else:
            free = (i for i, place in enumerate(remaining) if cluster_of[place] not in recent)
            at = next(free, -1)
        if at < 0:
            at = 0
            too_close += 1
        place = remaining.pop(at)
        order.append(place)
        recent.append(cluster_of[place])
        left[cluster_of[place]] -= 1
        heapq.heappush(largest, (-left[cluster_of[place]], cluster_of[place]))
        while largest and -largest[0][0] != left[largest[0][1]]:
            heapq.heappop(largest)  # an outdated count
    return Spread(order, held_back, too_close)
