"""Who is reached from some sources over edges with probabilities, and by which best path.

The value of a path is the product of its probabilities, less a decay for each hop after the first.
A streamer is a member if a path of so many hops at most has a value that suffices. Whatever begins
a path that suffices suffices itself, so the edges between members alone decide who is one.
"""

from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

_PAUSE = 256
State = tuple[int, str]
"""Hops and streamer: the best walk of exactly so many hops that ends there."""


class Link(NamedTuple):
    """An edge between two streamers, `a` below `b`, with the probability that they are one."""

    a: str
    b: str
    probability: float

    @property
    def pair(self) -> tuple[str, str]:
        """Both ends."""
        return self.a, self.b


class Reached(NamedTuple):
    """The best walk of a number of hops to a streamer.

    Attributes:
        value: of the walk.
        before: the streamer before the last hop; "" for a source.
    """

    value: float
    before: str


@dataclass(frozen=True)
class Rules:
    """When a streamer is a member.

    Attributes:
        hops: most hops of a path.
        min_probability: least value of a path, above 0.
        decay: factor of each hop after the first, up to 1.
    """

    hops: int
    min_probability: float
    decay: float

    def next_value(self, value: float, hops: int, probability: float) -> float:
        """Value of a path that goes on over an edge, after so many hops."""
        return value * probability * (self.decay if hops else 1.0)


class Neighbours:
    """Edges by streamer."""

    def __init__(self) -> None:
        """None yet."""
        self._of: dict[str, dict[str, float]] = {}

    def add(self, link: Link) -> None:
        """Add an edge; of a pair the strongest counts."""
        for one, other in (link.pair, link.pair[::-1]):
            near = self._of.setdefault(one, {})
            near[other] = max(link.probability, near.get(other, 0.0))

    def of(self, name: str) -> Mapping[str, float]:
        """Probability by the streamer at the other end."""
        return self._of.get(name, {})


@dataclass(frozen=True, eq=False)
class Membership:
    """Who is a member, and why.

    Attributes:
        rules: of the membership.
        neighbours: edges.
        barred: streamers through whom no path goes.
        layers: by number of hops: the best walk to each streamer that is reached by so many.
    """

    rules: Rules
    neighbours: Neighbours
    barred: frozenset[str]
    layers: Sequence[Mapping[str, Reached]]

    def hops(self) -> dict[str, int]:
        """Members, and the number of hops of their best path: the fewest of equally good ones."""
        best: dict[str, tuple[float, int]] = {}
        for hops, layer in enumerate(self.layers):
            for name, reached in layer.items():
                if name not in best or reached.value > best[name][0]:
                    best[name] = reached.value, hops
        return {name: hops for name, (_, hops) in best.items()}

    def value(self, name: str) -> float:
        """Value of the best path to a streamer; 0 if it is no member."""
        return max((layer[name].value for layer in self.layers if name in layer), default=0.0)

    def path(self, name: str, hops: int) -> list[str]:
        """The best walk of so many hops, from its source to the streamer."""
        found = [name]
        for layer in reversed(self.layers[1 : hops + 1]):
            found.append(layer[found[-1]].before)
        return found[::-1]

    def step(self, name: str, before: Mapping[str, Reached], hops: int) -> Reached | None:
        """The best way to a streamer in one more hop than to those before; None if none suffices.

        Of equally good ones the first by id.

        Args:
            name: the streamer.
            before: by streamer, the best walk of `hops` hops.
            hops: of these.
        """
        best: Reached | None = None
        for other, probability in self.neighbours.of(name).items():
            if other in before:
                value = self.rules.next_value(before[other].value, hops, probability)
                if value < self.rules.min_probability or (best and value < best.value):
                    continue
                if best is None or value > best.value or other < best.before:
                    best = Reached(value, other)
        return best


def settle(
    links: Iterable[Link], sources: Collection[str], barred: Collection[str], rules: Rules
) -> Membership:
    """Find all members; see `settling`."""
    steps = settling(links, sources, barred, rules)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def settling(
    links: Iterable[Link], sources: Collection[str], barred: Collection[str], rules: Rules
) -> Generator[None, None, Membership]:
    """Find all members; a generator that pauses every few milliseconds.

    Args:
        links: edges, in any order.
        sources: members whatever the edges say, unless they are barred.
        barred: no members, and no path goes through them.
        rules: of the membership.
    """
    out = frozenset(barred)
    kept = Neighbours()
    for place, link in enumerate(links):
        if link.a not in out and link.b not in out:
            kept.add(link)
        if place % _PAUSE == 0:
            yield
    layers: list[dict[str, Reached]] = [
        {name: Reached(1.0, "") for name in sorted(set(sources) - out)}
    ]
    membership = Membership(rules, kept, out, layers)
    for hops in range(rules.hops):
        before = layers[-1]
        yield
        near = {other for name in before for other in kept.of(name)}
        found: dict[str, Reached] = {}
        for place, name in enumerate(near):
            reached = membership.step(name, before, hops)
            if reached is not None:
                found[name] = reached
            if place % _PAUSE == 0:
                yield
        layers.append(found)
    return membership
