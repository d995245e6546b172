"""A best-first walk: the surest profiles are looked around first, until a budget is spent."""

import heapq
from collections.abc import Collection, Iterable, Sequence
from typing import Literal

from service.engine.expansion.paths import Link, Rules

Pair = tuple[str, str]
StoppedBecause = Literal["exhausted", "hops", "budget", "members"]
"""`exhausted`: nothing is left to be looked at. `hops`: members at the last hop were not looked
around. `budget`: profiles that were candidates were not compared. `members`: there are too many."""
MOST_MEMBERS = 10_000


class Walk:
    """Decides whose neighbours are looked for next. Call `next`, `admit`, `take`, and again.

    Attributes:
        links: edges that were found and kept, by their ends.
        visited: profiles that were looked at: the sources, and all that were compared.
    """

    def __init__(
        self,
        sources: Iterable[str],
        barred: Collection[str],
        rules: Rules,
        *,
        budget: int,
        fan_out: int,
        most_members: int = MOST_MEMBERS,
    ) -> None:
        """Begin at the sources.

        Args:
            sources: members whatever is found.
            barred: streamers that are not looked at.
            rules: who is a member.
            budget: most profiles that are visited.
            fan_out: most edges that are kept of those found around a profile, the strongest.
            most_members: the walk ends when it has found so many.
        """
        self._barred = frozenset(barred)
        self._rules = rules
        self._budget = budget
        self._fan_out = fan_out
        self._most_members = most_members
        self._values: dict[str, list[float]] = {}  # by number of hops, the best walk's
        self._waiting: list[tuple[float, str]] = []
        self._expanded: set[str] = set()
        self._compared: dict[Pair, float] = {}
        self._near: dict[str, list[str]] = {}
        self._of: dict[str, dict[str, float]] = {}
        self._is_cut = False
        self.links: dict[Pair, Link] = {}
        self.visited: set[str] = set()
        for name in sorted(set(sources) - self._barred):
            self.visited.add(name)
            self._improve(name, 0, 1.0)

    @property
    def members(self) -> int:
        """How many are members by what was found so far."""
        return len(self._values)

    @property
    def stopped_because(self) -> StoppedBecause:
        """Why there is nobody to be looked around."""
        if self.members >= self._most_members and self._waiting:
            return "members"
        if self._is_cut:
            return "budget"
        return "hops" if self._values.keys() - self._expanded else "exhausted"

    def next(self, most: int) -> list[str]:
        """Those around whom to look now, the surest first; nobody at the end."""
        found: list[str] = []
        if self.members >= self._most_members or self._is_cut:
            return found
        while self._waiting and len(found) < most:
            _, name = heapq.heappop(self._waiting)
            if name not in self._expanded:
                self._expanded.add(name)
                found.append(name)
        return found

    def admit(self, names: Sequence[str], near: Sequence[Sequence[str]]) -> list[Pair]:
        """Pairs that are to be compared, the lower end first, as far as the budget reaches.

        Args:
            names: what `next` gave.
            near: candidates of each, the likeliest first.
        """
        pairs: dict[Pair, None] = {}
        for name, others in zip(names, near, strict=True):
            admitted = self._near.setdefault(name, [])
            for other in others:
                if other == name or other in self._barred:
                    continue
                if other not in self.visited:
                    if len(self.visited) >= self._budget:
                        self._is_cut = True
                        continue
                    self.visited.add(other)
                admitted.append(other)
                pair = min(name, other), max(name, other)
                if pair not in self._compared:
                    pairs[pair] = None
        return list(pairs)

    def take(self, names: Sequence[str], found: Iterable[Link]) -> None:
        """Take in what the comparison found: edges, in any order; other pairs have none."""
        for link in found:
            self._compared[link.pair] = link.probability
        for name in names:
            near: list[tuple[float, str]] = []
            for other in set(self._near[name]):
                pair = min(name, other), max(name, other)
                probability = self._compared.setdefault(pair, 0.0)
                if probability >= self._rules.min_probability:
                    near.append((-probability, other))
            for probability, other in sorted(near)[: self._fan_out]:
                self._keep(Link(min(name, other), max(name, other), -probability))

    def _keep(self, link: Link) -> None:
        if link.pair in self.links:
            return
        self.links[link.pair] = link
        for one, other in (link.pair, link.pair[::-1]):
            self._of.setdefault(one, {})[other] = link.probability
        for one, other in (link.pair, link.pair[::-1]):
            for hops, value in enumerate(self._values.get(one, ())[: self._rules.hops]):
                if value:
                    self._reach(other, hops + 1, value, link.probability)

    def _reach(self, name: str, hops: int, value: float, probability: float) -> None:
        value = self._rules.next_value(value, hops - 1, probability)
        if value >= self._rules.min_probability:
            self._improve(name, hops, value)

    def _improve(self, name: str, hops: int, value: float) -> None:
        """A walk of so many hops to a streamer; what goes on from there is no deeper than that."""
        values = self._values.setdefault(name, [0.0] * (self._rules.hops + 1))
        if value <= values[hops]:
            return
        values[hops] = value
        if hops < self._rules.hops:
            if name not in self._expanded:
                heapq.heappush(self._waiting, (-value, name))
            for other, probability in self._of.get(name, {}).items():
                self._reach(other, hops + 1, value, probability)
