"""Groups of duplicates as those who ask for them see them; `following` keeps them up to date."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from service.engine.work.lanes import Lanes
from service.errors import GroupNotFound, StreamerNotFound
from service.features.duplicates.groups.bridges import bridges
from service.features.duplicates.rebuild import KIND
from service.features.jobs.service import Jobs
from service.store.base import StreamerStore
from service.store.duplicates import EdgeRecord, GroupRecord, GroupStore
from service.store.jobs import Job
from service.store.once import Once

_MOST_EDGES = 50
"""Of a member that are answered."""
_BRIDGES_UPTO = 1000
"""Members of a group whose bridges are looked for: all its edges have to be read."""
_ALL = 1_000_000
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
        edges: of these members with others of the group, each once: with its lower end.
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
        lanes: Lanes,
        jobs: Jobs,
    ) -> None:
        """Read what is kept in `groups`.

        Args:
            store: of the streamers.
            groups: of duplicates.
            lanes: where bridges are looked for.
            jobs: where rebuilds are queued.
        """
        self._store = store
        self._groups = groups
        self._lanes = lanes
        self._jobs = jobs

    async def rebuild(self, once: Once | None) -> Job:
        """Queue a rebuild, or find that of an earlier request; see `Jobs.submit`."""
        return await self._jobs.start(KIND, {}, once=once)

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
        found = await self._groups.edges_of(members, _MOST_EDGES)
        edges = [
            edge
            for name, some in zip(members, found, strict=True)
            for edge in some
            if edge.a == name
        ]
        others = sorted({edge.b for edge in edges})
        groups = await self._groups.groups_of(others)
        inside = {o for o, group in zip(others, groups, strict=True) if group == group_id}
        known = await self._bridges(record)
        shown = [
            ShownEdge(e.a, e.b, e.weight, e.kind, None if known is None else (e.a, e.b) in known)
            for e in edges
            if e.b in inside
        ]
        following = members[-1] if len(members) == limit else None
        return ShownGroup(record, (), members, shown, following)

    async def of(self, streamer_id: str, limit: int) -> tuple[GroupRecord | None, list[Tie]]:
        """The group of a stored streamer, None if it is in none, and its strongest edges.

        Raises:
            StreamerNotFound: it is not stored.
        """
        (known,) = await self._store.digests([streamer_id])
        if known is None:
            raise StreamerNotFound(f"streamer {streamer_id!r} is not stored")
        (group_id,) = await self._groups.groups_of([streamer_id])
        (edges,) = await self._groups.edges_of([streamer_id], _ALL)
        edges = sorted(edges, key=lambda e: (-e.weight, e.a, e.b))[:limit]
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
            if not found.members:
                waiting += found.successors
            groups = await self._groups.groups_of(found.members)
            having = Counter(group for group in groups if group is not None)
            live |= dict.fromkeys(group for group, _ in having.most_common())
        return list(live)

    async def _bridges(self, record: GroupRecord) -> set[tuple[str, str]] | None:
        """Pairs whose edge alone holds two parts of a group together; None of a large one."""
        if record.size > _BRIDGES_UPTO:
            return None
        members = await self._groups.members(record.group_id, "", _BRIDGES_UPTO)
        found = await self._groups.edges_of(members, _ALL)
        place = {name: i for i, name in enumerate(members)}
        edges: list[EdgeRecord] = [
            edge
            for name, some in zip(members, found, strict=True)
            for edge in some
            if edge.a == name and edge.b in place
        ]
        ends = [(place[edge.a], place[edge.b]) for edge in edges]
        places = await self._lanes.run_in_slices(bridges(len(members), ends))
        return {(edges[i].a, edges[i].b) for i in places}
