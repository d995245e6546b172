"""Groups of duplicates as those who ask for them see them; `following` keeps them up to date."""

from collections import Counter
from collections.abc import Generator, Sequence, Set
from dataclasses import dataclass
from heapq import nsmallest
from typing import Literal

from service.engine.work.lanes import Lanes
from service.errors import GroupNotFound, StreamerNotFound
from service.features.duplicates.groups.bridges import bridges
from service.features.duplicates.groups.cutting import Cut, without_crowds
from service.features.duplicates.groups.edges import Edge, Pair, kind_of
from service.features.duplicates.rebuild import KIND
from service.features.jobs.service import Jobs
from service.store.base import StreamerStore
from service.store.duplicates import EdgeRecord, GroupRecord, GroupStore, JudgementStore
from service.store.jobs import Job
from service.store.once import Once

_MOST_EDGES = 50
"""Of a member that are answered: its strongest."""
_BRIDGES_UPTO = 1000
"""Members of a group whose bridges are looked for: all its edges have to be read."""
_ALL = 1_000_000
_MOST_READ = 500
"""Edges of a member of a larger group: in a farm the first few have one with everybody."""
_ASKED_AT_ONCE = 1000
_MOST_HOPS = 1000


@dataclass(frozen=True)
class ShownEdge:
    """An edge between two members; `bridge` is None where that is not known."""

    a: str
    b: str
    weight: float
    kind: str
    bridge: bool | None


@dataclass(frozen=True)
class ShownGroup:
    """A group, and a page of its members with their edges.

    Attributes:
        record: of the group.
        successors: live groups that have its members, if it is not live.
        members: in byte order.
        edges: of these members with others of the group, the strongest of each, each once.
        next_after: continues the members; None on the last page.
    """

    record: GroupRecord
    successors: Sequence[str]
    members: Sequence[str] = ()
    edges: Sequence[ShownEdge] = ()
    next_after: str | None = None


@dataclass(frozen=True)
class Tie:
    """An edge of a streamer: who is at the other end, and whether it is in the same group."""

    streamer_id: str
    weight: float
    kind: str
    in_group: bool


class Duplicates:
    """The use-cases behind `/v1/duplicates`."""

    def __init__(
        self,
        store: StreamerStore,
        groups: GroupStore,
        judgements: JudgementStore,
        lanes: Lanes,
        jobs: Jobs,
    ) -> None:
        """Read what is kept in `groups`.

        Args:
            store: of the streamers.
            groups: of duplicates.
            judgements: of people.
            lanes: where bridges are looked for.
            jobs: where rebuilds are queued.
        """
        self._store = store
        self._groups = groups
        self._judgements = judgements
        self._lanes = lanes
        self._jobs = jobs

    async def rebuild(self, once: Once | None, by: tuple[str, str]) -> Job:
        """Queue a rebuild, or find that of an earlier request; see `Jobs.submit`."""
        return await self._jobs.start(KIND, {}, once=once, by=by)

    async def page(
        self, order: Literal["size", "newest"], after: str, limit: int
    ) -> tuple[list[GroupRecord], str | None]:
        """Live groups, the largest or the last changed first; and what continues them."""
        return await self._groups.page(order, after, limit)

    async def sequence(self) -> int | None:
        """The last write that is evaluated; None before the first evaluation is complete."""
        position = await self._groups.position()
        return None if position is None else position.sequence

    async def get(self, group_id: str, after: str, limit: int) -> ShownGroup:
        """A group and its members after one of them.

        Raises:
            GroupNotFound: there was never one of this id.
        """
        record = await self._groups.get(group_id)
        if record is None:
            raise GroupNotFound(f"there was never a group {group_id!r}")
        if record.state != "live":
            return ShownGroup(record, await self._resolved(record))
        members = await self._groups.members(group_id, after, limit)
        is_small = record.size <= _BRIDGES_UPTO
        every = await self._groups.members(group_id, "", _BRIDGES_UPTO) if is_small else members
        edges = await self._edges(every, _ALL if is_small else _MOST_READ)
        known = await self._bridges(every, edges) if is_small else None
        inside = set(every) if is_small else await self._inside(group_id, edges, members)

        def shown() -> list[ShownEdge]:
            strongest = _strongest(members, edges, inside)
            return [ShownEdge(*e, None if known is None else e.pair in known) for e in strongest]

        following = members[-1] if len(members) == limit else None
        return ShownGroup(record, (), members, await self._lanes.run(shown), following)

    async def of(self, streamer_id: str, limit: int) -> tuple[GroupRecord | None, list[Tie]]:
        """The group of a stored streamer, None if it is in none, and its strongest edges.

        Raises:
            StreamerNotFound: it is not stored.
        """
        (known,) = await self._store.digests([streamer_id])
        if known is None:
            raise StreamerNotFound(f"streamer {streamer_id!r} is not stored")
        (group_id,) = await self._groups.groups_of([streamer_id])
        (every,) = await self._groups.edges_of([streamer_id], _ALL)
        edges = await self._lanes.run(lambda: nsmallest(limit, every, key=_strongest_first))
        others = [edge.b if edge.a == streamer_id else edge.a for edge in edges]
        groups = await self._groups.groups_of(others)
        ties = [
            Tie(other, edge.weight, edge.kind, group_id is not None and group == group_id)
            for edge, other, group in zip(edges, others, groups, strict=True)
        ]
        return (None if group_id is None else await self._groups.get(group_id)), ties

    async def _resolved(self, record: GroupRecord) -> list[str]:
        """Live groups that have the members of one that is not, the one with most of them first.

        A successor may have given them up since, as where a merge is corrected: the groups of the
        members that are known tell it. Where none is known, all that took its place are answered.
        """
        live: dict[str, None] = {}
        seen, waiting = set[str](), [record.group_id]
        while waiting and len(seen) < _MOST_HOPS:
            name = waiting.pop(0)
            if name in seen:
                continue
            seen.add(name)
            found = record if name == record.group_id else await self._groups.get(name)
            if found is None:
                continue
            if found.state == "live":
                live[name] = None
                continue
            groups = await self._groups.groups_of(found.members or ())
            having = Counter(group for group in groups if group is not None)
            if not having and (found.members is None or found.has_others):
                waiting += found.successors
            live |= dict.fromkeys(group for group, _ in having.most_common())
        return list(live)

    async def _edges(self, streamer_ids: Sequence[str], most: int) -> list[Edge]:
        """Up to `most` edges of each of some streamers, each once."""
        found = await self._groups.edges_of(streamer_ids, most)

        def once() -> list[Edge]:
            records = dict.fromkeys(edge for some in found for edge in some)
            return [Edge(e.a, e.b, e.weight, kind_of(e.kind)) for e in records]

        return await self._lanes.run(once)

    async def _bridges(self, members: Sequence[str], edges: Sequence[Edge]) -> set[Pair]:
        """Pairs whose edge alone holds two parts of a group together; see `_bridges_of`."""
        judged = await self._judgements.among(members)
        same = [(each.a, each.b) for each in judged if each.verdict == "same"]
        return await self._lanes.run_in_slices(_bridges_of(members, edges, same))

    async def _inside(
        self, group_id: str, edges: Sequence[Edge], members: Sequence[str]
    ) -> set[str]:
        """Which ends of edges are in a group, of which some members are known."""
        inside = set(members)
        others = await self._lanes.run(lambda: list({n for e in edges for n in e.pair} - inside))
        for start in range(0, len(others), _ASKED_AT_ONCE):
            part = others[start : start + _ASKED_AT_ONCE]
            groups = await self._groups.groups_of(part)
            inside |= {o for o, group in zip(part, groups, strict=True) if group == group_id}
        return inside


def _strongest_first(edge: EdgeRecord) -> tuple[float, str, str]:
    return -edge.weight, edge.a, edge.b


def _strongest(members: Sequence[str], edges: Sequence[Edge], inside: Set[str]) -> list[Edge]:
    """The strongest edges of each of some members within their group, each once, by pair."""
    left = dict.fromkeys(members, _MOST_EDGES)
    found: list[Edge] = []
    within = (edge for edge in edges if edge.a in inside and edge.b in inside)
    for edge in sorted(within, key=lambda e: (-e.weight, e.pair)):
        ends = [name for name in edge.pair if left.get(name)]
        left |= {name: left[name] - 1 for name in ends}
        found += [edge] if ends else []
    return sorted(found)


def _bridges_of(
    members: Sequence[str], edges: Sequence[Edge], same: Sequence[Pair]
) -> Generator[None, None, set[Pair]]:
    """Pairs whose edge alone holds two parts of a group together, as groups are cut.

    Args:
        members: of the group.
        edges: all that they have, with others too.
        same: pairs of members that are judged so: what they join hangs together by more.
    """
    place = {name: i for i, name in enumerate(members)}
    joining, _ = without_crowds(edges, Cut.crowd)
    yield
    lines = [edge.pair for edge in joining if edge.a in place and edge.b in place]
    ends = [(place[a], place[b]) for a, b in (*lines, *same, *same)]
    yield
    return {lines[i] for i in (yield from bridges(len(members), ends))}
