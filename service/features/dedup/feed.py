"""Diversified feed (打散): a list re-ordered so that near-duplicates stand apart."""

import heapq
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass


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
