"""Ids of groups: minted once, inherited by the largest overlap, and resolved for ever."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Literal

Fate = Literal["merged", "split", "dissolved"]
EventKind = Literal["duplicates.merged", "duplicates.split", "duplicates.grew"]


@dataclass(frozen=True)
class Retired:
    """A group that is no more.

    Attributes:
        fate: `merged` into one group, `split` over several, or `dissolved`: no two of its members
            are duplicates of anybody any more.
        successors: ids of the groups that have its members, the one with most of them first.
    """

    fate: Fate
    successors: Sequence[str]


@dataclass(frozen=True)
class GroupEvent:
    """What became of a group.

    Attributes:
        kind: `duplicates.merged` (it took in other groups), `duplicates.split` (members of it are
            in other groups, or in none), or `duplicates.grew` (streamers that were in no group
            joined it, or made it).
        group_id: the group.
        others: ids of the groups that it took in, or that have members of it now.
        streamers: ids that joined, or that are in no group any more; the first `MOST_NAMED`.
        size: of the group then; 0 of one that is no more.
        size_before: likewise before; 0 of a new one.
    """

    kind: EventKind
    group_id: str
    others: Sequence[str]
    streamers: Sequence[str]
    size: int
    size_before: int


MOST_NAMED = 100
"""Streamers that an event names."""


@dataclass(frozen=True)
class Succession:
    """What became of some groups.

    Attributes:
        groups: members of each group that there is now, by id.
        retired: groups that are no more.
        events: what happened; none where nothing did.
    """

    groups: Mapping[str, frozenset[str]]
    retired: Mapping[str, Retired]
    events: Sequence[GroupEvent]


def minted(cause: str, first_member: str) -> str:
    """The id of a new group.

    Args:
        cause: names what made it, once for all time, such as a place in the log.
        first_member: the lowest id in it, which no other group of the same cause has.
    """
    return "dup-" + hashlib.sha256(f"{cause}\n{first_member}".encode()).hexdigest()[:24]


def succeed(
    before: Mapping[str, Set[str]], after: Sequence[Sequence[str]], cause: str
) -> Succession:
    """Give ids to groups that took the place of others.

    A new group inherits the id of the old one with which it shares most members, and an old id goes
    to one group; among equals, that of the lower old id, then of the lower first member. Who shares
    with no old group that still has its id gets a new one.

    Args:
        before: groups that may have changed, by id.
        after: groups of two or more that their members are in now, members ascending.
        cause: see `minted`.
    """
    old_of = {member: name for name, members in before.items() for member in members}
    shares: list[tuple[int, str, str, int]] = []
    for place, members in enumerate(after):
        overlap = Counter(old_of[m] for m in members if m in old_of)
        shares += [(-count, old, members[0], place) for old, count in overlap.items()]
    ids: dict[int, str] = {}
    inherited: dict[str, int] = {}
    for _, old, _, place in sorted(shares):
        if old not in inherited and place not in ids:
            ids[place], inherited[old] = old, place
    for place, members in enumerate(after):
        ids.setdefault(place, minted(cause, members[0]))
    groups = {ids[place]: frozenset(members) for place, members in enumerate(after)}
    new_of = {member: name for name, members in groups.items() for member in members}
    retired: dict[str, Retired] = {}
    events: list[GroupEvent] = []
    for old in sorted(before):
        went = Counter(new_of[m] for m in before[old] if m in new_of and new_of[m] != old)
        others = [name for name, _ in sorted(went.items(), key=lambda item: (-item[1], item[0]))]
        if old not in inherited:
            fate: Fate = "dissolved" if not others else "merged" if len(others) == 1 else "split"
            retired[old] = Retired(fate, others)
        events += _loss(old, before[old], groups.get(old), others, new_of)
    for name in sorted(groups):
        events += _gain(name, groups[name], before, old_of)
    return Succession(groups, retired, events)


def _loss(
    old: str,
    before: Set[str],
    now: Set[str] | None,
    others: Sequence[str],
    new_of: Mapping[str, str],
) -> list[GroupEvent]:
    """That a group was split, unless another one took all of it in, which tells of that."""
    alone = sorted(member for member in before if member not in new_of)
    if not alone and (not others or (now is None and len(others) == 1)):
        return []
    size = 0 if now is None else len(now)
    return [GroupEvent("duplicates.split", old, others, alone[:MOST_NAMED], size, len(before))]


def _gain(
    name: str, now: Set[str], before: Mapping[str, Set[str]], old_of: Mapping[str, str]
) -> list[GroupEvent]:
    """That a group took in others, or that it grew."""
    own = before.get(name, frozenset[str]())
    taken = sorted({old_of[m] for m in now if m in old_of} - {name})
    joined = sorted(member for member in now if member not in old_of)
    events: list[GroupEvent] = []
    if taken and own:
        events.append(GroupEvent("duplicates.merged", name, taken, [], len(now), len(own)))
    if joined:
        names = joined[:MOST_NAMED]
        events.append(GroupEvent("duplicates.grew", name, [], names, len(now), len(own)))
    return events
