"""The index that asks Milvus: a collection that lags by seconds, and what is newer in memory."""

import asyncio
import heapq
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from service.errors import IndexUnavailable, InvalidRequest, NotReady, Overloaded
from service.index.base import (
    Change,
    IndexState,
    Matches,
    Row,
    SearchResult,
    StoredVector,
    Upsert,
)
from service.index.facets import FacetCounts
from service.index.filters import Filter
from service.index.milvus.base import MilvusBase, Served
from service.index.milvus.collection import MOST_HITS, Found
from service.index.milvus.connection import Asked
from service.index.milvus.directory import Directory
from service.index.milvus.merging import (
    Part,
    Probes,
    base_of,
    best,
    most_hits,
    newest_of,
    probes_of,
)
from service.index.milvus.monitor import MilvusMonitor
from service.index.milvus.overlay import Overlay
from service.index.milvus.tokens import expression, without
from service.index.query import Query
from service.index.work import Inline, Work

_SPARE = 32
"""Hits beyond k: some are of versions that were replaced or deleted since."""
_DEEPER = 4
_MOST_ROUNDS = 16
_CHANGES_PER_TURN = 50
_READ_AT_ONCE = 500
_VERSIONS_PER_TURN = 500
_MS_PER_CHECK, _MS_PER_NAME, _MS_OF_FACETS = 0.0005, 0.0005, 10.0
_KIND = "milvus IVF_FLAT"


class _Attached(NamedTuple):
    """What is asked, and what is beside it: one value, so that no question mixes two."""

    served: Served
    overlay: Overlay


class MilvusIndex:
    """Implements `VectorIndex` and `Maintained`.

    Ids, versions and facets of all streamers are in this process, so counts, filters and the check
    of hits ask nobody; vectors are in Milvus and in the store. Answers are exact about versions: a
    hit counts only if it is its streamer's newest version as this process knows it.
    """

    def __init__(
        self,
        base: MilvusBase,
        established: Collection[str] = (),
        folder: Path | None = None,
        work: Work | None = None,
    ) -> None:
        """An empty index, which answers once it adopted a collection.

        Args:
            base: what it asks.
            established: ids of established streamers, stored or not.
            folder: where its file of facets lies.
            work: where the merging of answers runs, by default where they are asked for.
        """
        self._base = base
        self._established = frozenset(established)
        self._directory = Directory(established, folder)
        self._attached: _Attached | None = None
        self._coming: Overlay | None = None  # of another collection
        self._work = work or Inline()
        self._monitor = MilvusMonitor(base.connection, base.bounds.floor)
        base.add(self)

    @property
    def count(self) -> int:
        """Number of streamers that have a vector."""
        return len(self._directory)

    def state(self) -> IndexState:
        """How it answers at the moment."""
        monitor = self._monitor
        return IndexState(
            _KIND, self.overlay_rows, None, monitor.refused, served_recall=monitor.recall
        )

    @property
    def overlay_rows(self) -> int:
        """Streamers with a vector that are searched in memory."""
        return 0 if self._attached is None else len(self._attached.overlay)

    async def apply(self, changes: Sequence[Change]) -> None:
        """Take in changes in order, on the event loop; see `VectorIndex.apply`."""
        for done, change in enumerate(changes, start=1):
            before = self._directory.version(change.streamer_id)
            if change.version > before and (before or isinstance(change, Upsert)):
                # The overlay first: a merge in another thread finds one version at least.
                self._keep(change)
                if before:
                    self._base.note_superseded(before, change.version)
            self._directory.apply(change)
            if done % _CHANGES_PER_TURN == 0:
                await asyncio.sleep(0)

    def _keep(self, change: Change) -> None:
        """Take a change into the overlay."""
        if self._coming is not None:
            self._coming.apply(change)
        if self._attached is not None:
            self._attached.overlay.apply(change)
            if self._attached.overlay.versions > self._base.bounds.most_rows:
                self._attached = None

    async def adopt(self, served: Served) -> None:
        """Ask this collection from now on; what is newer is read from the store if it must be."""
        mine = self._attached
        if (
            mine is None
            or mine.served.collection != served.collection
            or served.settled < mine.served.settled
        ):
            overlay = await self._filled(served)
            self._attached = None if overlay is None else _Attached(served, overlay)
        else:
            await self._trim(served, mine)

    async def _trim(self, served: Served, mine: _Attached) -> None:
        """Let settled versions leave the overlay, some at a time."""
        mine.overlay.keep(served.refused)
        at, settled = mine.served.settled, served.settled
        if mine.served != served._replace(settled=at):
            self._attached = _Attached(served._replace(settled=at), mine.overlay)
        while at < settled and self._attached is not None:
            at = min(at + _VERSIONS_PER_TURN, settled) if mine.overlay.versions else settled
            # Before rows go: whoever merges meanwhile does it again.
            self._attached = _Attached(served._replace(settled=at), mine.overlay)
            mine.overlay.trim(at)
            await asyncio.sleep(0)

    async def _filled(self, served: Served) -> Overlay | None:
        """An overlay with every version that Milvus lacks; None where there is no room for them."""
        overlay = Overlay(self._base.shape.dim, self._established, served.settled)
        overlay.keep(served.refused)
        self._coming = overlay  # what is written from here on is none of those that are listed
        try:
            lacking = await asyncio.to_thread(self._directory.versions, served.settled)
            if len(lacking) > self._base.bounds.most_rows // 2:
                return None
            missing = served.refused.union(lacking.tolist())
            ids = [*(await asyncio.to_thread(self._directory.ids_of, missing)).values()]
            for start in range(0, len(ids), _READ_AT_ONCE):
                some = ids[start : start + _READ_AT_ONCE]
                for entry in await self._base.source.entries(some):
                    if entry is not None and self._directory.version(entry.streamer_id):
                        overlay.apply(entry)
        finally:
            self._coming = None
        return overlay

    @property
    def trouble(self) -> str | None:
        """Why it can't answer, for people; None while it can."""
        if self._base.trouble is not None or self._attached is not None:
            return self._base.trouble
        return self._base.bounds.overflow

    def _asked(self) -> _Attached:
        attached = self._attached
        if self._base.trouble is not None or attached is None:
            raise NotReady(self._base.trouble or self._base.bounds.overflow)
        return attached

    def versions(self) -> NDArray[np.int64]:
        """The newest version of each streamer that has a vector, ascending; for any thread."""
        return self._directory.versions()

    def ids_of(self, versions: Collection[int]) -> dict[int, str]:
        """Streamers whose newest version is one of these, by the version; for any thread."""
        return self._directory.ids_of(versions)

    async def vector(self, streamer_id: str) -> StoredVector | None:
        """The vector of one streamer, from the store; None if it is unknown."""
        known = self._directory.vector(streamer_id)
        if known is None or known.embedding is None:
            return known
        (entry,) = await self._base.source.entries([streamer_id])
        if entry is None:
            return None
        embedding = np.frombuffer(entry.embedding, "<f4") if entry.embedding else None
        return known._replace(embedding=embedding)

    async def get(self, ids: Sequence[str]) -> list[Row | None]:
        """Rows by id, from the store; see `VectorIndex.get`."""
        found: list[Row | None] = []
        for start in range(0, len(ids), _READ_AT_ONCE):
            some = ids[start : start + _READ_AT_ONCE]
            for entry in await self._base.source.entries(some):
                known = entry is not None and self._directory.version(entry.streamer_id)
                found.append(_row(entry) if entry is not None and known else None)
        return found

    async def rows(self) -> AsyncIterator[Row]:
        """All streamers, from the store; see `VectorIndex.rows`."""
        async for entries in self._base.source.scan():
            for entry in entries:
                if self._directory.version(entry.streamer_id):
                    yield _row(entry)

    async def let_through(self, ids: Sequence[str], wanted: Filter) -> list[bool]:
        """Whether a filter lets each of some streamers through; see `VectorIndex.let_through`."""
        call = partial(self._directory.let_through, ids, wanted)
        return await self._work.run(call, len(ids) * _MS_PER_NAME + _filter_ms(wanted))

    async def facet_counts(self, wanted: Filter, fields: Sequence[str], most: int) -> FacetCounts:
        """Counts of values; see `VectorIndex.facet_counts`."""
        call = partial(self._directory.facet_counts, wanted, fields, most)
        return await self._work.run(call, _MS_OF_FACETS)

    async def search(self, query: Query) -> SearchResult:
        """The best rows for a query; see `VectorIndex.search`.

        Raises:
            NotReady: there is no collection to ask yet.
            IndexUnavailable: Milvus does not answer.
            InvalidRequest: more streamers reach the score than Milvus can tell.
            Overloaded: too many questions wait already, or the deadline passed.
        """
        part = await self._answer(query, query.k)
        if query.is_plain and self._attached is not None:
            self._monitor.offer(self._attached.served.collection, query)
        hits = best(part.scores, query.k)
        exact = not query.is_plain or self._monitor.refused is not None
        return SearchResult(hits, part.reached, exact, part.unknown_fields)

    async def matches(self, query: Query) -> Matches:
        """Everyone who reaches the query's `min_score`; see `VectorIndex.matches`, and `search`."""
        if query.min_score is None:
            query = replace(query, min_score=-np.inf)
        part = await self._answer(query, None)
        hits = best(part.scores, None)
        scores = np.array([hit.score for hit in hits], np.float32)
        return Matches([hit.streamer_id for hit in hits], scores, part.unknown_fields)

    async def _answer(self, query: Query, k: int | None) -> Part:
        probes = probes_of(query)
        exact = not query.is_plain or self._monitor.refused is not None
        most = min(MOST_HITS, most_hits(probes))
        limit = min((k or MOST_HITS // _DEEPER) + _SPARE + len(query.exclude), most)
        left_out, was_short = set[int](), False
        for _ in range(_MOST_ROUNDS):
            collection, *_, established = self._asked().served
            # Rows tell who was established when they were written; the directory knows it.
            are_told = query.established_only and established == self._base.established
            wanted = expression(query.filter, established_only=are_told)
            filtered = without(wanted, left_out) if left_out else wanted
            asked = Asked(collection, limit, filtered, exact, probes.is_mixed)
            began = time.monotonic()
            found = await self._base.connection.search(asked, probes.vectors)
            if self._asked().served.collection != collection:
                continue  # the overlay is another collection's by now
            merge = partial(self._merged, query, k, probes, found, asked)
            part = await self._work.run(merge, self._cost_ms(query, found))
            if time.monotonic() > began + self._base.bounds.fresh_s:
                continue  # what has settled since, these hits may lack
            if part.is_complete:
                return part
            if part.is_short:
                if was_short:
                    self._base.is_audit_due = True
                    raise IndexUnavailable(
                        f"Milvus has fewer than the {part.reached} streamers of a complete answer; "
                        "the next audit inserts them again"
                    )
                was_short = True
                continue
            if not exact and any(len(each.ids) < limit for each in found):
                exact = True  # the lists that were looked into have no more
            elif limit < most:
                limit = min(limit * _DEEPER, most)
            elif set(part.dropped) - left_out:
                left_out |= set(part.dropped)
            else:
                raise InvalidRequest(
                    f"the answer is among more than {most} streamers, and Milvus can't tell more: "
                    "ask for a higher min_score"
                    + (
                        f" or with fewer than {len(probes.vectors)} seeds"
                        if most < MOST_HITS
                        else ""
                    )
                    + ", or export the streamers"
                )
        raise Overloaded("too much is written for an answer; ask again")

    def _merged(
        self, query: Query, k: int | None, probes: Probes, found: Sequence[Found], asked: Asked
    ) -> Part:
        """Hits of Milvus that still hold, and the overlay's; made again if the overlay shrank."""
        while True:
            attached = self._asked()
            if attached.served.collection != asked.collection:
                return Part({}, 0, (), (), False)  # ask again
            part = self._merge(query, k, probes, found, asked, attached)
            if self._attached is attached:
                return part

    def _merge(
        self,
        query: Query,
        k: int | None,
        probes: Probes,
        found: Sequence[Found],
        asked: Asked,
        attached: _Attached,
    ) -> Part:
        # The directory first: what is changed in between is in the overlay, in its new version.
        versions = [version for each in found for version in each.versions]
        ids = [name for each in found for name in each.ids]
        checked = self._directory.check(query, versions, ids)
        settled = attached.served.settled
        are_good = [
            good and version <= settled
            for good, version in zip(checked.are_good, versions, strict=True)
        ]
        base = base_of(query, probes, found, are_good, asked.limit)
        newest, reached = newest_of(attached.overlay, query, k)
        scores, least = base.scores, query.min_score
        if least is not None:
            scores = {name: score for name, score in scores.items() if score >= least}
        merged = scores | newest
        has_all = base.bound == -np.inf
        if least is not None:
            reached += len(scores.keys() - newest.keys())
            return Part(
                merged, reached, checked.unknown_fields, base.dropped, has_all or base.bound < least
            )
        assert k is not None
        highest = heapq.nlargest(k, merged.values())
        has_enough = len(merged) >= min(k, checked.allowed)
        is_complete = has_enough if has_all else len(highest) == k and highest[-1] >= base.bound
        is_short = has_all and asked.exact and not has_enough
        return Part(
            *(merged, checked.allowed, checked.unknown_fields, base.dropped),
            *(is_complete, is_short),
        )

    def _cost_ms(self, query: Query, found: Sequence[Found]) -> float:
        overlay = self._asked().overlay.cost_ms(query)
        hits = sum(len(each.ids) for each in found)
        return overlay + hits * _MS_PER_CHECK + _filter_ms(query.filter)

    def is_due(self) -> bool:
        """Whether it has no collection that answers: `rebuild` waits for one."""
        return self.trouble is not None

    def rebuild(self, is_stopped: Callable[[], bool]) -> None:
        """Wait until it may answer: the projector builds the collection; see `Maintained`."""
        while self.trouble is not None and not is_stopped():
            time.sleep(0.05)

    def check_recall(self) -> None:
        """Compare a plain answer with the exact one; see `Maintained`."""
        self._monitor.check()


def _filter_ms(wanted: Filter) -> float:
    return 0.1 * (len(wanted.must) + len(wanted.must_not))


def _row(entry: Upsert) -> Row:
    has_vector = bool(entry.embedding)
    return Row(
        entry.streamer_id,
        entry.version,
        from_json(entry.facets),
        np.frombuffer(entry.embedding, "<f4") if has_vector else None,
        np.frombuffer(entry.content, "<f2") if has_vector else None,
    )
