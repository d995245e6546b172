"""One connected component, divided into groups.

Near-duplication is not transitive: A like B and B like C does not make A like C. A component is
therefore cut in three places.

*Crowds.* A contact that many show is an agency's or a platform's. An edge by a contact is cut where
both ends have so many edges, of any kind, since some of a crowd share more than its contact;
accounts of one operator that share more hang together by that.

*Contradictions.* Edges are taken the strongest first (as Kruskal's algorithm does), and one that
would join two parts that a judgement keeps apart is cut. It is the weakest edge of each path
between the two, and no group ever holds a pair that is judged different.

*Chains.* A weak edge that alone holds two parts of `side` members or more together is a bridge, and
is cut, the weakest first. A member that hangs by one edge stays: it is a part of one.
"""

from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np

from service.features.duplicates.groups.bridges import bridges
from service.features.duplicates.groups.edges import Edge, Pair

Reason = Literal["crowd", "different", "bridge"]
_PAUSE_EACH = 4096


@dataclass(frozen=True)
class Cut:
    """When a bridge is cut.

    Attributes:
        strong_weight: from this weight on it never is.
        side: members that each of its sides has at least.
        crowd: so many others share something with each of two whom a contact does not join; nearly
            as many as a large ring has accounts.
    """

    strong_weight: float
    side: int = 3
    crowd: int = 16


@dataclass(frozen=True)
class Division:
    """A component, divided.

    Attributes:
        groups: members, ascending, of each; ordered by their first one; of one member, too.
        cut: edges that were cut, and why.
    """

    groups: Sequence[Sequence[str]]
    cut: Sequence[tuple[Edge, Reason]]


class Forest:
    """Union-find over 0 to size - 1, by size, with halved paths."""

    def __init__(self, size: int) -> None:
        """Everybody alone."""
        self._above = list(range(size))
        self.sizes = [1] * size

    def root(self, node: int) -> int:
        """The root of a node's set."""
        above = self._above
        while above[node] != node:
            above[node] = node = above[above[node]]
        return node

    def join(self, one: int, other: int) -> tuple[int, int]:
        """Join the sets of two roots; the root that is left, and the one that is none any more."""
        if self.sizes[one] < self.sizes[other]:
            one, other = other, one
        self._above[other] = one
        self.sizes[one] += self.sizes[other]
        return one, other

    def join_all(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Join the sets of all these pairs of nodes."""
        for one, other in pairs:
            one, other = self.root(one), self.root(other)
            if one != other:
                self.join(one, other)


def divide(
    members: Sequence[str],
    edges: Sequence[Edge],
    same: Sequence[Pair],
    different: Sequence[Pair],
    cut: Cut,
) -> Generator[None, None, Division]:
    """Divide a component; a generator that pauses now and then. O(E log E).

    Args:
        members: ids, ascending.
        edges: between them, each pair once.
        same: pairs that are judged so and that hold; never cut.
        different: likewise; none contradicts `same`.
        cut: when a bridge is cut.
    """
    edges, in_crowds = without_crowds(edges, cut.crowd)
    removed: list[tuple[Edge, Reason]] = [(edge, "crowd") for edge in in_crowds]
    place = {name: i for i, name in enumerate(members)}
    yield
    ends = [(place[e.a], place[e.b]) for e in edges]
    yield
    order = _strongest_first(ends, [e.weight for e in edges])
    forest = Forest(len(members))
    joined = [(place[a], place[b]) for a, b in same]
    forest.join_all(joined)
    yield from _join_but(forest, [(place[a], place[b]) for a, b in different], ends, order)
    kept: list[int] = []
    for i, (one, other) in enumerate(ends):
        if forest.root(one) == forest.root(other):
            kept.append(i)
        else:
            removed.append((edges[i], "different"))
    if len(members) >= 2 * cut.side:
        weak = yield from _weak_bridges(len(members), edges, ends, kept, joined, cut)
        if weak:
            removed.extend((edges[i], "bridge") for i in sorted(weak))
            forest = Forest(len(members))
            forest.join_all([*joined, *(ends[i] for i in kept if i not in weak)])
    groups: dict[int, list[str]] = {}
    for i, name in enumerate(members):
        groups.setdefault(forest.root(i), []).append(name)
    return Division(list(groups.values()), removed)


def without_crowds(edges: Sequence[Edge], crowd: int) -> tuple[Sequence[Edge], Sequence[Edge]]:
    """Edges that join two, and those by a contact in a crowd.

    Args:
        edges: all of those whom they are asked about.
        crowd: see `Cut`.
    """
    contacts = [edge for edge in edges if edge.kind == "same_contact"]
    if len(contacts) < crowd:
        return edges, []
    # Of a contact's holders some are near-duplicates as well, and their edges of that kind.
    degrees = Counter(name for edge in edges for name in edge.pair)
    large = {name for name, degree in degrees.items() if degree >= crowd}

    def is_crowded(edge: Edge) -> bool:
        return edge.kind == "same_contact" and edge.a in large and edge.b in large

    crowded = [edge for edge in contacts if is_crowded(edge)]
    return ([edge for edge in edges if not is_crowded(edge)] if crowded else edges), crowded


def _join_but(
    forest: Forest,
    different: Sequence[tuple[int, int]],
    ends: Sequence[tuple[int, int]],
    order: Sequence[int],
) -> Generator[None, None, None]:
    """Join what edges connect, in their order, but never two sets that are to be apart."""
    apart: dict[int, set[int]] = {}
    for a, b in different:
        one, other = forest.root(a), forest.root(b)
        apart.setdefault(one, set()).add(other)
        apart.setdefault(other, set()).add(one)
    for step, i in enumerate(order):
        if step % _PAUSE_EACH == 0:
            yield
        one, other = forest.root(ends[i][0]), forest.root(ends[i][1])
        if one == other or other in apart.get(one, ()):
            continue
        kept, gone = forest.join(one, other)
        for third in apart.pop(gone, ()):
            apart[third].discard(gone)
            apart[third].add(kept)
            apart.setdefault(kept, set()).add(third)


def _strongest_first(ends: Sequence[tuple[int, int]], weights: Sequence[float]) -> list[int]:
    """Places of edges by falling weight, equal ones by their nodes: numpy sorts without the GIL."""
    if not ends:
        return []
    nodes = np.array(ends)  # (E, 2)
    order: list[int] = np.lexsort((nodes[:, 1], nodes[:, 0], -np.array(weights))).tolist()
    return order


def _weak_bridges(
    size: int,
    edges: Sequence[Edge],
    ends: Sequence[tuple[int, int]],
    kept: Sequence[int],
    joined: Sequence[tuple[int, int]],
    cut: Cut,
) -> Generator[None, None, set[int]]:
    """Places of the bridges that are to be cut, of those edges that are kept."""
    # Judged pairs twice: what is parallel is no bridge.
    lines = [ends[i] for i in kept] + [*joined, *joined]
    found = yield from bridges(size, lines, _PAUSE_EACH)
    if all(edges[kept[line]].weight >= cut.strong_weight for line in found):
        return set()
    blocks = Forest(size)  # what hangs together by more than a bridge
    blocks.join_all(pair for line, pair in enumerate(lines) if line not in found)
    around: dict[int, set[int]] = {}
    tree = {kept[line]: tuple(map(blocks.root, lines[line])) for line in found}
    for one, other in tree.values():
        around.setdefault(one, set()).add(other)
        around.setdefault(other, set()).add(one)
    weak = [i for i in tree if edges[i].weight < cut.strong_weight]
    weakest_first = sorted(weak, key=lambda i: (edges[i].weight, ends[i]))
    removed: set[int] = set()
    for step, i in enumerate(weakest_first):
        if step % _PAUSE_EACH == 0:
            yield
        one, other = tree[i]
        if all(
            _reaches(cut.side, start, beyond, around, blocks.sizes)
            for start, beyond in ((one, other), (other, one))
        ):
            around[one].discard(other)
            around[other].discard(one)
            removed.add(i)
    return removed


def _reaches(
    least: int, start: int, beyond: int, around: dict[int, set[int]], sizes: Sequence[int]
) -> bool:
    """Whether a side of a bridge has so many members; looks at no more blocks than that."""
    total, seen, waiting = 0, {start, beyond}, [start]
    while waiting:
        block = waiting.pop()
        total += sizes[block]
        if total >= least:
            return True
        # Two of them may be seen already, and each of the others has a member.
        some = [other for other in islice(around[block], least + 2) if other not in seen]
        seen.update(some)
        waiting += some
    return False
