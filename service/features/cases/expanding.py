"""Expands a case: walks, decides who is a member and why, and keeps what was seen."""

import base64
import hashlib
import secrets
import time
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TypeVar

from service.engine.expansion.certificate import Hangs, certificate
from service.engine.expansion.edges import EvidenceEdge
from service.engine.expansion.evidence_edges import EvidenceEdges
from service.engine.expansion.paths import Membership, settling
from service.engine.expansion.walk import Walk
from service.engine.work.lanes import Lane, Lanes
from service.features.cases.records import (
    MEMBERS,
    Case,
    Copy,
    Decided,
    Member,
    Query,
    Run,
    VerdictRecord,
)
from service.store.base import Record, StreamerStore

Result = TypeVar("Result")
_AT_ONCE = 8
"""Profiles around whom is looked in one step."""
_READ_AT_ONCE = 200
_NO_CORPUS = (
    "this process does not keep the candidates of all streamers, or not yet: candidates are the "
    "nearest by embedding and those of groups of duplicates"
)
Allowed = Callable[[Mapping[str, object], Sequence[str]], Awaitable[list[bool]]]
"""Whom a filter, as JSON has it, lets through of some streamers."""
Told = Callable[[int, int], Awaitable[None]]
"""Hears how many profiles were visited, of how many at most."""
Evaluated = Callable[[], Awaitable[int]]
"""The last write that candidates take into account, after all that were acknowledged before."""


@dataclass(frozen=True, eq=False)
class Expanded:
    """A run that is not written yet.

    Attributes:
        run: its summary.
        members: the surest first.
        looked_at: digests of the profiles of all who were visited and are stored.
        versions: of the members that are stored.
        verdicts: of the case, by which it was made.
    """

    run: Run
    members: Sequence[Member]
    looked_at: Mapping[str, str]
    versions: Mapping[str, int]
    verdicts: Mapping[str, VerdictRecord]


class Expander:
    """Makes runs of cases."""

    def __init__(
        self,
        store: StreamerStore,
        edges: EvidenceEdges,
        allowed: Allowed,
        evaluated: Evaluated,
        lanes: Lanes,
        model_version: str,
    ) -> None:
        """Expand over the streamers of a store.

        Args:
            store: of the streamers.
            edges: between them.
            allowed: applies filters.
            evaluated: up to where candidates are known.
            lanes: where work is done.
            model_version: of the evidence.
        """
        self._store = store
        self._edges = edges
        self._allowed = allowed
        self._evaluated = evaluated
        self._lanes = lanes
        self._model_version = model_version

    async def expand(
        self,
        case: Case,
        verdicts: Mapping[str, VerdictRecord],
        query: Query,
        lane: Lane,
        told: Told | None = None,
    ) -> Expanded:
        """Walk from the seeds and the confirmed.

        Args:
            case: as it is.
            verdicts: of it.
            query: how far.
            lane: of the work.
            told: hears of each step.

        Raises:
            Unavailable: the store does not answer, or too much work waits.
        """
        sources, barred = await self._lanes.run(partial(case.bounds, verdicts), lane)
        sequence = await self._evaluated()
        looking = self._edges.looking(query.kinds, lane)
        walk = Walk(sources, barred, query.rules, budget=query.budget, fan_out=query.fan_out)
        known: dict[tuple[str, str], EvidenceEdge] = {}
        while names := walk.next(_AT_ONCE):
            near = await looking.candidates(names)
            if query.filter:
                near = await self._let_through(query.filter, near)
            pairs = walk.admit(names, near)
            edges = await looking.compare(pairs, query.min_probability)
            known.update((edge.link.pair, edge) for edge in edges)
            # In a case of thousands a surer path makes many others surer: that takes a while.
            take = partial(walk.take, names, [edge.link for edge in edges])
            await self._lanes.run(take, lane)
            if told is not None:
                await told(len(walk.visited), query.budget)
        kept = [known[pair] for pair in walk.links]
        visited = sorted(walk.visited)
        stored = await self._digests(visited)
        made = settled(kept, sources, barred, query, stored)
        members, count, digest = await self._lanes.run_in_slices(made, lane)
        run = Run(
            run_id=secrets.token_hex(8),
            at=time.time(),
            query=query,
            sources=sources,
            barred=barred,
            members=len(members),
            edges=count,
            visited=len(visited),
            stopped_because=walk.stopped_because,
            incomplete_because=None if looking.is_complete else _NO_CORPUS,
            model_version=self._model_version,
            index_sequence=sequence,
            digest=digest,
        )
        looked_at = {name: seen for name, (_, seen) in stored.items()}
        versions = {
            member.streamer_id: stored[member.streamer_id][0]
            for member in members
            if member.streamer_id in stored
        }
        return Expanded(run, members, looked_at, versions, verdicts)

    async def copies(self, members: Sequence[Member]) -> AsyncGenerator[dict[str, Copy], None]:
        """Profiles of members as they are now, in parts; blank ones of those not stored.

        One that was written since the run saw it has another digest than its member.

        When the next part is asked for, the one before is written. Whoever is no longer stored by
        then may have been erased meanwhile, by somebody who did not see the copy: it comes again
        without its profile.
        """
        names = [member.streamer_id for member in members]
        for start in range(0, len(names), _READ_AT_ONCE):
            for part in await self._store.chunks(names[start : start + _READ_AT_ONCE]):
                records = await self._store.get(part)
                found = [record for record in records if record is not None]
                packed = await self._lanes.run_in_slices(_packed(found), Lane.HEAVY)
                yield dict.fromkeys(part, Copy("", 0, None)) | packed
                known = await self._digests([*packed])
                if gone := packed.keys() - known.keys():
                    blank = {n: replace(packed[n], profile=None, sha256="") for n in sorted(gone)}
                    yield blank

    async def digests(self, names: Sequence[str]) -> dict[str, str]:
        """Digests of the profiles of those that are stored."""
        return {name: seen for name, (_, seen) in (await self._digests(names)).items()}

    async def decided(self, verdicts: Mapping[str, VerdictRecord]) -> dict[str, Decided]:
        """Verdicts, each with whether its profile is another one by now."""
        now = await self.digests([name for name, each in verdicts.items() if each.digest])
        return {name: each.decided(now.get(name)) for name, each in verdicts.items()}

    async def in_thread(self, call: Callable[[], Result]) -> Result:
        """What a call comes to, off the event loop."""
        return await self._lanes.run(call, Lane.HEAVY)

    async def _digests(self, names: Sequence[str]) -> dict[str, tuple[int, str]]:
        stored: dict[str, tuple[int, str]] = {}
        for start in range(0, len(names), _READ_AT_ONCE):
            part = names[start : start + _READ_AT_ONCE]
            found = await self._store.digests(part)
            stored |= {n: each for n, each in zip(part, found, strict=True) if each is not None}
        return stored

    async def _let_through(
        self, wanted: Mapping[str, object], near: Sequence[Sequence[str]]
    ) -> list[list[str]]:
        names = sorted({name for some in near for name in some})
        allowed = await self._allowed(wanted, names)
        kept = {name for name, is_allowed in zip(names, allowed, strict=True) if is_allowed}
        return [[name for name in some if name in kept] for some in near]


def settled(
    edges: Sequence[EvidenceEdge],
    sources: Sequence[str],
    barred: Sequence[str],
    query: Query,
    stored: Mapping[str, tuple[int, str]],
) -> Generator[None, None, tuple[list[Member], int, str]]:
    """Members, the surest first, the number of their edges, and the digest of both.

    A generator that pauses between its steps.

    Args:
        edges: of evidence, in any order.
        sources: members whatever the edges say, unless they are barred.
        barred: no members.
        query: that was asked.
        stored: version and digest of the profile of those that are stored.
    """
    links = (edge.link for edge in edges)
    membership = yield from settling(links, sources, barred, query.rules)
    hangs = yield from certificate(membership)
    hops = membership.hops()
    order = sorted(hops, key=lambda name: (-membership.value(name), hops[name], name))
    rank = {name: i for i, name in enumerate(order)}
    yield
    of_later: dict[str, list[EvidenceEdge]] = {}
    for edge in edges:
        if edge.a in rank and edge.b in rank:
            later = edge.a if rank[edge.a] > rank[edge.b] else edge.b
            of_later.setdefault(later, []).append(edge)
    yield
    members: list[Member] = []
    count = 0
    hasher = hashlib.sha256()
    for name in order:
        own = sorted(of_later.get(name, ()), key=lambda edge: edge.link.pair)
        count += len(own)
        path = membership.path(name, hops[name])
        member = Member(
            name,
            "stored" if name in stored else "deleted",
            hops[name],
            round(membership.value(name), 6),
            path,
            _weakest(membership, path),
            hangs.get(name, Hangs()),
            own,
            stored[name][1] if name in stored else "",
        )
        members.append(member)
        hasher.update(MEMBERS.dump_json([member]))
        yield
    return members, count, hasher.hexdigest()


def _weakest(membership: Membership, path: Sequence[str]) -> tuple[str, str] | None:
    """Ends of the least probable edge of a path, the first of equals."""
    links = list(pairwise(path))
    return min(links, key=lambda ends: membership.neighbours.of(ends[0])[ends[1]], default=None)


def _packed(records: Sequence[Record]) -> Generator[None, None, dict[str, Copy]]:
    found: dict[str, Copy] = {}
    for record in records:
        text = base64.b64encode(zlib.compress(record.profile)).decode()
        sha256 = hashlib.sha256(record.profile).hexdigest()
        found[record.streamer_id] = Copy(record.digest, record.version, text, sha256)
        yield
    return found


def unpacked(copy: Copy) -> bytes | None:
    """JSON of a copied profile; None where there is none."""
    return None if copy.profile is None else zlib.decompress(base64.b64decode(copy.profile))
