"""What the graph made of a change, as atomic steps of the store."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from service.features.duplicates.groups.edges import Edge
from service.features.duplicates.groups.graph import GroupGraph, Outcome
from service.features.duplicates.groups.identity import GroupEvent, Succession
from service.store.duplicates import Commit, EdgeRecord, GroupChange, GroupRecord
from service.store.events import NewEvent

_EDGES_AT_ONCE = 2000
_MEMBERS_AT_ONCE = 5000
"""About so many are in one step, which keeps the store for milliseconds."""
_MOST_KEPT = 100
"""Members of a group that is no more, by which it is told which groups have them later."""


class Ledger:
    """The stored records of live groups, and the steps that bring them up to date.

    A step has whole regions: groups that exchange members are changed together, with the events
    that tell of it, so a process that dies between two steps leaves nothing half told.
    """

    def __init__(
        self,
        groups: Mapping[str, GroupRecord],
        members: Mapping[str, Collection[str]],
        streamers: Container[str],
    ) -> None:
        """Begin with what is stored.

        Args:
            groups: record of each live group, by id.
            members: of each, by id.
            streamers: ids of those that are stored, as far as the log is evaluated.
        """
        self._streamers = streamers
        self._records = dict(groups)
        self._members = {name: frozenset(members.get(name, ())) for name in groups}
        self._kept = defaultdict[str, list[str]](list)
        self._kept_before: Mapping[str, list[str]] = {}
        self._needed_until = 0

    @property
    def members(self) -> Mapping[str, frozenset[str]]:
        """Of each live group, as it is stored."""
        return self._members

    def kept(self, streamer_ids: Iterable[str]) -> dict[str, list[str]]:
        """Ended groups whose records name some streamers, as this ledger wrote them, by these.

        Of those that were deleted before their record was written, which their erasure may have
        missed; see `seen`.
        """
        found: dict[str, list[str]] = {}
        for name in streamer_ids:
            if groups := self._kept_before.get(name, []) + self._kept.get(name, []):
                found[name] = groups
        return found

    def seen(self, evaluated: int, head: int) -> None:
        """Learn where the log ends, while all that `steps` gave is written.

        Who is deleted from then on is erased with a look at these records, so they are forgotten
        when the log is evaluated up to there.

        Args:
            evaluated: sequence up to which the log is evaluated.
            head: its last sequence.
        """
        if evaluated >= self._needed_until:
            self._kept_before, self._kept = self._kept, defaultdict[str, list[str]](list)
            self._needed_until = head

    def steps(
        self, outcome: Outcome, graph: GroupGraph, cause: str, now: float
    ) -> Iterator[Commit]:
        """The steps of an outcome, in order; the edges first.

        Args:
            outcome: what the graph made of a change.
            graph: as it is after it.
            cause: of the change.
            now: seconds since 1970.
        """
        yield from edge_steps(outcome.added, outcome.removed)
        changes: list[GroupChange] = []
        events: list[NewEvent] = []
        moved = 0
        for region in outcome.regions:
            some = list(self._region(region, graph, now))
            moved += sum(len(change.joined) + len(change.left) + 10 for change in some)
            changes += some
            events += [_event(event, cause) for event in region.events]
            if moved > _MEMBERS_AT_ONCE:
                yield Commit(groups=changes, events=events)
                changes, events, moved = [], [], 0
        changes += self._other_representatives(outcome, graph)
        if changes or events:
            yield Commit(groups=changes, events=events)

    def _region(self, region: Succession, graph: GroupGraph, now: float) -> Iterator[GroupChange]:
        for name, retired in region.retired.items():
            before = self._records.pop(name, None)
            left = sorted(self._members.pop(name, frozenset()))
            created = now if before is None else before.created_at
            successors = tuple(retired.successors)
            # Not who is gone: it may be erased. Who is in no group now may be in one later.
            there = [member for member in left if member in self._streamers]
            stored = _in_turns(there, graph, successors)
            kept, has_others = tuple(stored[:_MOST_KEPT]), len(stored) > _MOST_KEPT
            for member in kept:
                self._kept[member].append(name)
            told = created, now, successors, kept, has_others
            after = GroupRecord(name, retired.fate, 0, "", *told)
            yield GroupChange(before, after, left=left)
        for name, members in region.groups.items():
            before = self._records.get(name)
            known = self._members.get(name, frozenset())
            if before is not None and known == members:
                continue
            first = graph.representative(members)
            created = now if before is None else before.created_at
            after = GroupRecord(name, "live", len(members), first, created, now)
            self._records[name], self._members[name] = after, members
            yield GroupChange(before, after, sorted(members - known), sorted(known - members))

    def _other_representatives(self, outcome: Outcome, graph: GroupGraph) -> Iterator[GroupChange]:
        """Groups whose members are the same, and whose edges changed."""
        ends = {name for edge in outcome.added for name in edge.pair}
        ends |= {name for pair in outcome.removed for name in pair}
        for name in sorted({group for end in ends if (group := graph.group_of(end))}):
            before, members = self._records[name], self._members[name]
            first = graph.representative(members)
            if first != before.representative:
                self._records[name] = replace(before, representative=first)
                yield GroupChange(before, self._records[name])


def edge_steps(added: Sequence[Edge], removed: Sequence[tuple[str, str]]) -> Iterator[Commit]:
    """Steps that write edges alone.

    Those that are no more tell whom a change touches, so they stay until the new ones are written.
    """
    for start in range(0, len(added), _EDGES_AT_ONCE):
        part = added[start : start + _EDGES_AT_ONCE]
        yield Commit(edges=[EdgeRecord(e.a, e.b, e.weight, e.kind) for e in part])
    for start in range(0, len(removed), _EDGES_AT_ONCE):
        yield Commit(removed=removed[start : start + _EDGES_AT_ONCE])


def _in_turns(members: Iterable[str], graph: GroupGraph, groups: Sequence[str]) -> list[str]:
    """Members: one of each group in turns, in the order of these; last those that are in none."""
    order = {name: place for place, name in enumerate(groups)}
    taken = Counter[str | None]()
    found: list[tuple[bool, int, int, str]] = []
    for member in members:
        group = graph.group_of(member)
        found.append((group is None, taken[group], order.get(group or "", 0), member))
        taken[group] += 1
    return [member for *_, member in sorted(found)]


def _event(event: GroupEvent, cause: str) -> NewEvent:
    digest = hashlib.sha256(f"{cause}\n{event.kind}\n{event.group_id}".encode()).hexdigest()
    data = {
        "group_id": event.group_id,
        "groups": list(event.others),
        "streamer_ids": list(event.streamers),
        "size": event.size,
        "size_before": event.size_before,
    }
    return NewEvent(f"evt-{digest[:24]}", event.kind, json.dumps(data).encode())
