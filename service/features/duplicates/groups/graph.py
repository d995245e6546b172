"""Edges, judgements and the groups that follow from them, kept up to date change by change.

Groups are a function of the edges and judgements of each connected component, so a change is
carried out by dividing the components that it touches anew: it comes to the same as a start from
nothing. Only ids have a history.
"""

from collections import Counter
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from math import fsum

from service.features.duplicates.groups.cutting import Cut, Division, divide
from service.features.duplicates.groups.edges import Edge, Judgement, Pair
from service.features.duplicates.groups.identity import Succession, succeed
from service.features.duplicates.groups.settling import settle

_PAUSE_EACH = 2048


@dataclass(frozen=True)
class Change:
    """News about streamers and judgements.

    Attributes:
        edges: all edges that a streamer has now, of each that was written.
        gone: streamers that were deleted.
        judged: judgements that are new or changed.
        unjudged: pairs whose judgement was taken back.
    """

    edges: Mapping[str, Collection[Edge]] = field(default_factory=dict[str, Collection[Edge]])
    gone: Collection[str] = ()
    judged: Collection[Judgement] = ()
    unjudged: Collection[Pair] = ()


@dataclass(frozen=True)
class Outcome:
    """What a change made of the groups.

    Attributes:
        regions: groups that took each other's place, one for each part of the graph.
        added: edges that are new or have another weight or kind.
        removed: edges that are no more.
    """

    regions: Sequence[Succession]
    added: Sequence[Edge]
    removed: Sequence[Pair]


class GroupGraph:
    """All edges, judgements and groups. For one thread at a time."""

    def __init__(self, cut: Cut) -> None:
        """Nobody is known; bridges are cut by `cut`."""
        self._cut = cut
        self._around: dict[str, dict[str, Edge]] = {}
        self._judgements: dict[Pair, Judgement] = {}
        self._judged_with: dict[str, set[str]] = {}
        self._absent: set[str] = set()  # judged streamers that are not stored
        self._group_of: dict[str, str] = {}
        self._groups: dict[str, frozenset[str]] = {}

    @property
    def groups(self) -> Mapping[str, frozenset[str]]:
        """Members of each group of two or more, by id."""
        return self._groups

    @property
    def judged(self) -> int:
        """Number of judgements."""
        return len(self._judgements)

    def group_of(self, streamer_id: str) -> str | None:
        """The group that a streamer is in; None if it is in none."""
        return self._group_of.get(streamer_id)

    def neighbours(self, streamer_id: str) -> AbstractSet[str]:
        """Who has an edge with a streamer."""
        return self._around.get(streamer_id, {}).keys()

    def edges(self) -> Iterator[Edge]:
        """Every edge, once."""
        for name, around in self._around.items():
            yield from (edge for edge in around.values() if edge.a == name)

    def edges_among(self, members: Collection[str]) -> list[Edge]:
        """The edges with both ends among some streamers."""
        wanted = members if isinstance(members, set | frozenset) else set(members)
        return sorted(
            edge
            for name in wanted
            for edge in self._around.get(name, {}).values()
            if edge.a == name and edge.b in wanted
        )

    def representative(self, members: frozenset[str]) -> str:
        """The member whose edges in the group weigh most together; among equals the lowest id."""
        weights = {
            name: fsum(e.weight for o, e in self._around.get(name, {}).items() if o in members)
            for name in members
        }
        return min(weights, key=lambda name: (-weights[name], name))

    def load(
        self,
        edges: Iterable[Edge],
        judgements: Iterable[Judgement],
        absent: Iterable[str],
        groups: Mapping[str, Collection[str]],
    ) -> None:
        """Take in what was kept; nobody is known yet. `regroup` makes sure that it fits together.

        Args:
            edges: all.
            judgements: all.
            absent: judged streamers that are not stored.
            groups: members by id.
        """
        for edge in edges:
            self._link(edge)
        for judgement in judgements:
            self._judge(judgement)
        self._absent.update(absent)
        self._groups = {name: frozenset(members) for name, members in groups.items()}
        self._group_of = {m: name for name, members in self._groups.items() for m in members}

    def regroup(self, cause: str) -> Generator[None, None, Outcome]:
        """Divide everything anew, as `change` does with what it touches."""
        seeds = {*self._around, *self._judged_with, *self._group_of}
        regions = yield from self._divided(sorted(seeds), cause)
        return Outcome(regions, [], [])

    def change(self, news: Change, cause: str) -> Generator[None, None, Outcome]:
        """Take in a change and divide what it touches anew; pauses every few milliseconds.

        Args:
            news: what is new.
            cause: names the change, once for all time: ids of new groups are hashes of it.

        Returns:
            What it made of the groups.
        """
        added, removed = yield from self.take(news)
        touched = {*news.edges, *news.gone}
        for pair in (*(e.pair for e in added), *removed):
            touched.update(pair)
        for pair in (*(judgement.pair for judgement in news.judged), *news.unjudged):
            touched.update(pair)
        regions = yield from self._divided(sorted(touched), cause)
        return Outcome(regions, added, removed)

    def take(self, news: Change) -> Generator[None, None, tuple[list[Edge], list[Pair]]]:
        """Take in a change without a look at the groups, which `regroup` has to follow.

        Returns:
            Edges that are new or other than before, and pairs that have none any more.
        """
        added: dict[Pair, Edge] = {}
        removed: dict[Pair, None] = {}
        for streamer_id in news.gone:
            removed.update(dict.fromkeys(self._unlink(streamer_id, ())))
            if streamer_id in self._judged_with:
                self._absent.add(streamer_id)
        for streamer_id, edges in news.edges.items():
            removed.update(dict.fromkeys(self._unlink(streamer_id, {e.pair for e in edges})))
            self._absent.discard(streamer_id)
            for edge in edges:
                if self._around.get(edge.a, {}).get(edge.b) != edge:
                    self._link(edge)
                    added[edge.pair] = edge
            yield
        for judgement in news.judged:
            self._judge(judgement)
        for pair in news.unjudged:
            self._unjudge(pair)
        return (
            [edge for edge in added.values() if self._around.get(edge.a, {}).get(edge.b) == edge],
            [pair for pair in removed if pair[1] not in self._around.get(pair[0], {})],
        )

    def thinned(self, news: Change, fewest: int) -> Generator[None, None, list[str]]:
        """Who loses edges by a change that tells nothing else of it, and keeps too few; ascending.

        Args:
            news: not taken in yet.
            fewest: edges that are enough.
        """
        lost = Counter[str]()
        for name in {**news.edges, **dict.fromkeys(news.gone)}:
            kept = {end for edge in news.edges.get(name, ()) for end in edge.pair}
            lost.update(self.neighbours(name) - kept)
            yield
        told = {*news.edges, *news.gone}
        return sorted(
            name
            for name, count in lost.items()
            if name not in told and len(self.neighbours(name)) - count < fewest
        )

    def note_absent(self, streamer_ids: Iterable[str]) -> None:
        """Note judged streamers that are not stored, before their judgement is taken in."""
        self._absent.update(streamer_ids)

    @property
    def linked(self) -> Collection[str]:
        """Streamers with an edge."""
        return self._around.keys()

    def _divided(self, seeds: Iterable[str], cause: str) -> Generator[None, None, list[Succession]]:
        """Divide the components of some streamers anew, and give the groups their ids.

        Pieces of one old group are one region even where they are not connected any more: where a
        judgement held it together, nothing else leads from who is gone to the others.
        """
        seen: set[str] = set()
        olds: set[str] = set()
        divided: list[list[str]] = []
        waiting = list(seeds)[::-1]
        while waiting:
            seed = waiting.pop()
            if seed in seen:
                continue
            members = yield from self._component(seed)
            seen.update(members)
            if len(members) > 1:
                found = yield from self._division(members)
                divided += [list(group) for group in found.groups if len(group) > 1]
            left = {self._group_of[name] for name in members if name in self._group_of} - olds
            olds |= left
            waiting += [name for old in left for name in self._groups[old] if name not in seen]
        regions: list[Succession] = []
        for old, new in self._regions(olds, divided):
            found = succeed({name: self._groups[name] for name in old}, new, cause)
            if found.events or found.retired or set(old) != set(found.groups):
                regions.append(found)
            yield
        for region in regions:
            self._adopt(region)
        return regions

    def _regions(
        self, olds: Collection[str], news: Sequence[list[str]]
    ) -> Iterator[tuple[list[str], list[list[str]]]]:
        """Old and new groups that share members, directly or by others."""
        touching: dict[str, list[int]] = {}
        before: list[set[str]] = []
        for place, members in enumerate(news):
            before.append({self._group_of[m] for m in members if m in self._group_of})
            for old in before[-1]:
                touching.setdefault(old, []).append(place)
        left_old, done = dict.fromkeys(sorted(olds)), set[int]()
        starts: list[tuple[str | None, int | None]] = [(old, None) for old in left_old]
        starts += [(None, place) for place in range(len(news))]
        for start_old, start_new in starts:
            if start_old is not None and start_old not in left_old:
                continue
            if start_new is not None and start_new in done:
                continue
            old_here, new_here = set[str](), set[int]()
            waiting_old = [] if start_old is None else [start_old]
            waiting_new = [] if start_new is None else [start_new]
            while waiting_old or waiting_new:
                if waiting_old:
                    old = waiting_old.pop()
                    if old not in old_here:
                        old_here.add(old)
                        waiting_new += touching.get(old, [])
                else:
                    place = waiting_new.pop()
                    if place not in new_here:
                        new_here.add(place)
                        waiting_old += before[place]
            for old in old_here:
                left_old.pop(old, None)
            done |= new_here
            yield sorted(old_here), [news[place] for place in sorted(new_here)]

    def _adopt(self, region: Succession) -> None:
        for name in region.retired:
            for member in self._groups.pop(name):
                if self._group_of.get(member) == name:
                    del self._group_of[member]
        for name, members in region.groups.items():
            for member in self._groups.get(name, frozenset[str]()) - members:
                if self._group_of.get(member) == name:
                    del self._group_of[member]
            self._groups[name] = members
        for name, members in region.groups.items():
            self._group_of.update(dict.fromkeys(members, name))

    def _component(self, seed: str) -> Generator[None, None, list[str]]:
        """Everybody whom edges, or judgements `same`, lead to from a streamer, ascending."""
        seen, waiting = {seed}, [seed]
        steps = 0
        while waiting:
            at = waiting.pop()
            others = [*self._around.get(at, ()), *self._same_as(at)]
            steps += 1 + len(others)
            for other in others:
                if other not in seen:
                    seen.add(other)
                    waiting.append(other)
            if steps >= _PAUSE_EACH:
                steps = 0
                yield
        return sorted(seen)

    def _same_as(self, streamer_id: str) -> Iterator[str]:
        if streamer_id in self._absent:
            return
        for other in self._judged_with.get(streamer_id, ()):
            pair = (streamer_id, other) if streamer_id < other else (other, streamer_id)
            if other not in self._absent and self._judgements[pair].verdict == "same":
                yield other

    def _division(self, members: Sequence[str]) -> Generator[None, None, Division]:
        inside = set(members)
        edges = self.edges_among(inside)
        yield
        judged = [
            judgement
            for name in members
            for other in self._judged_with.get(name, ())
            if name < other
            and other in inside
            and not {name, other} & self._absent
            and (judgement := self._judgements[name, other])
        ]
        settled = settle(judged)
        same, different = sorted(settled.same), sorted(settled.different)
        return (yield from divide(members, edges, same, different, self._cut))

    def _link(self, edge: Edge) -> None:
        self._around.setdefault(edge.a, {})[edge.b] = edge
        self._around.setdefault(edge.b, {})[edge.a] = edge

    def _unlink(self, streamer_id: str, keep: Collection[Pair]) -> list[Pair]:
        """Remove a streamer's edges but for some; their pairs."""
        gone = [e for e in self._around.get(streamer_id, {}).values() if e.pair not in keep]
        for edge in gone:
            for one, other in (edge.pair, edge.pair[::-1]):
                del self._around[one][other]
                if not self._around[one]:
                    del self._around[one]
        return [edge.pair for edge in gone]

    def _judge(self, judgement: Judgement) -> None:
        a, b = judgement.pair
        self._judgements[judgement.pair] = judgement
        self._judged_with.setdefault(a, set()).add(b)
        self._judged_with.setdefault(b, set()).add(a)

    def _unjudge(self, pair: Pair) -> None:
        if self._judgements.pop(pair, None) is None:
            return
        for one, other in (pair, pair[::-1]):
            self._judged_with[one].discard(other)
            if not self._judged_with[one]:
                del self._judged_with[one]
                self._absent.discard(one)
