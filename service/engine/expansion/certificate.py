"""Whose membership hangs on what: the members that leave if an edge, verdict or member goes.

Only what is on the best walks to a streamer can make it leave, so for each such thing the walks
that go over it are found anew and no others: linear in the number of members and edges.
"""

from collections import defaultdict
from collections.abc import Collection, Generator, Iterable, Mapping
from dataclasses import dataclass, field

from service.engine.expansion.paths import Membership, Reached, State

Pair = tuple[str, str]


@dataclass(frozen=True)
class Hangs:
    """What a membership hangs on: without any one of these the streamer is no member.

    Attributes:
        links: edges, by their ends.
        sources: streamers that would have to be found like others, were they no sources.
        members: other members, through whom no path would go.
    """

    links: list[Pair] = field(default_factory=list[Pair])
    sources: list[str] = field(default_factory=list[str])
    members: list[str] = field(default_factory=list[str])


def certificate(membership: Membership) -> Generator[None, None, dict[str, Hangs]]:
    """What each membership hangs on, in a fixed order; pauses between its steps."""
    tree = _Tree(membership)
    hangs = {name: Hangs() for name in membership.hops()}
    yield
    for pair, roots in tree.by_link.items():
        for name in tree.leavers(roots, link=pair):
            hangs[name].links.append(pair)
        yield
    for source in membership.layers[0]:
        for name in tree.leavers([(0, source)], without=[(0, source)]):
            hangs[name].sources.append(source)
        yield
    for member, states in tree.by_member.items():
        for name in tree.leavers(states, member=member):
            if name != member:
                hangs[name].members.append(member)
        yield
    for each in hangs.values():
        for found in (each.links, each.sources, each.members):
            found.sort()
    return hangs


class _Tree:
    """The best walks as trees: each goes on from a best walk that is one hop shorter."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._children: defaultdict[State, list[State]] = defaultdict(list)
        self.by_link: defaultdict[Pair, list[State]] = defaultdict(list)
        self.by_member: defaultdict[str, list[State]] = defaultdict(list)
        for hops, layer in enumerate(membership.layers):
            for name, reached in layer.items():
                self.by_member[name].append((hops, name))
                if hops:
                    self._children[hops - 1, reached.before].append((hops, name))
                    pair = min(name, reached.before), max(name, reached.before)
                    self.by_link[pair].append((hops, name))

    def leavers(
        self,
        roots: Iterable[State],
        *,
        link: Pair | None = None,
        without: Collection[State] = (),
        member: str | None = None,
    ) -> list[str]:
        """Members that nothing reaches any more, ascending.

        Args:
            roots: states whose walk is lost; those that go on from them are, too.
            link: an edge that is no more.
            without: states that can't be reached in another way.
            member: a streamer through whom no path goes any more.
        """
        lost = self._below(roots)
        again: dict[State, Reached] = {}
        for state in sorted(lost):
            hops, name = state
            if hops == 0 or state in without or name == member:
                continue
            reached = self._again(state, lost, again, link)
            if reached is not None:
                again[state] = reached
        layers = self._membership.layers
        return sorted(
            name
            for name in {name for _, name in lost}
            if not any(
                (hops, name) in again or (name in layer and (hops, name) not in lost)
                for hops, layer in enumerate(layers)
            )
        )

    def _below(self, roots: Iterable[State]) -> set[State]:
        lost: set[State] = set()
        waiting = list(roots)
        while waiting:
            state = waiting.pop()
            if state not in lost:
                lost.add(state)
                waiting += self._children.get(state, ())
        return lost

    def _again(
        self,
        state: State,
        lost: Collection[State],
        again: Mapping[State, Reached],
        link: Pair | None,
    ) -> Reached | None:
        """The best walk that is left to a state; None if none suffices."""
        hops, name = state
        layer = self._membership.layers[hops - 1]
        before: dict[str, Reached] = {}
        for other in self._membership.neighbours.of(name):
            pair = min(name, other), max(name, other)
            if pair == link:
                continue
            known = hops - 1, other
            if known in again:
                before[other] = again[known]
            elif other in layer and known not in lost:
                before[other] = layer[other]
        return self._membership.step(name, before, hops - 1)
