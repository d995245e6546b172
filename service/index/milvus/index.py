"""The index that asks Milvus: collections that lag by seconds, and what is newer in memory."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from service.index.base import (
    Change,
    Hit,
    IndexState,
    Matches,
    Row,
    SearchResult,
    Sketch,
    StoredVector,
    Upsert,
)
from service.index.facets import FacetCounts
from service.index.faiss.flat import view_cost_ms
from service.index.filters import Filter
from service.index.milvus.answering import Answers, deepest
from service.index.milvus.attachment import Attachment
from service.index.milvus.base import MilvusBase
from service.index.milvus.directory import Directory, Newest
from service.index.milvus.failover import Failover
from service.index.milvus.merging import Part
from service.index.query import Query
from service.index.work import Inline, Work

_CHANGES_PER_TURN = 50
_READ_AT_ONCE = 500
_MS_PER_NAME, _MS_OF_FACETS = 0.0005, 10.0
_KIND = "milvus IVF_FLAT"


class MilvusIndex:
    """Implements `VectorIndex` and `Maintained`.

    Ids, versions and facets of all streamers are in this process, so counts, filters and the check
    of hits ask nobody; vectors are in Milvus and in the store. Answers are exact about versions: a
    hit counts only if it is its streamer's newest version as this process knows it.
    """

    def __init__(
        self,
        clusters: Sequence[MilvusBase],
        established: Collection[str] = (),
        folder: Path | None = None,
        work: Work | None = None,
    ) -> None:
        """An empty index, which answers once it adopted a collection.

        Args:
            clusters: any of which can answer, the first by preference; all read the same store.
            established: ids of established streamers, stored or not.
            folder: where its file of facets lies.
            work: where the merging of answers runs, by default where they are asked for.
        """
        listed = frozenset(established)
        self._clusters = clusters
        self._directory = Directory(established, folder)
        self._work = work or Inline()
        self._answers = Answers(self._directory, self._work)
        self._attachments = [Attachment(each, self._directory, listed) for each in clusters]
        self._failover = Failover(self._attachments)

    @property
    def count(self) -> int:
        """Number of streamers that have a vector."""
        return len(self._directory)

    def state(self) -> IndexState:
        """How it answers at the moment."""
        serving = self._failover.serving
        return IndexState(
            *(_KIND, serving.overlay_rows, None, serving.monitor.refused),
            served_recall=serving.monitor.recall,
            clusters=[
                each.state(serves=each is serving and each.trouble is None)
                for each in self._attachments
            ],
        )

    @property
    def overlay_rows(self) -> int:
        """Streamers with a vector that are searched in memory, by the cluster that serves."""
        return self._failover.serving.overlay_rows

    async def apply(self, changes: Sequence[Change]) -> None:
        """Take in changes in order, on the event loop; see `VectorIndex.apply`."""
        for done, change in enumerate(changes, start=1):
            before = self._directory.version(change.streamer_id)
            if change.version > before and (before or isinstance(change, Upsert)):
                # The overlay first: a merge in another thread finds one version at least.
                for each in self._attachments:
                    each.keep(change)
                    if before:
                        each.base.note_superseded(before, change.version)
            self._directory.apply(change)
            if done % _CHANGES_PER_TURN == 0:
                await asyncio.sleep(0)

    @property
    def trouble(self) -> str | None:
        """Why it can't answer, for people; None while it can."""
        return self._failover.trouble

    @property
    def warning(self) -> str | None:
        """Which clusters can't be asked though another one can, for people."""
        return self._failover.warning

    def newest(self, up_to: int, *, established_only: bool = False) -> Newest:
        """Newest versions up to one, of streamers that have a vector; for any thread."""
        return self._directory.newest(up_to=up_to, established_only=established_only)

    def ids_at(self, newest: Newest) -> dict[int, str]:
        """Streamers by versions that are newest still; for any thread."""
        return self._directory.ids_at(newest)

    def ids_of(self, versions: Collection[int]) -> dict[int, str]:
        """Streamers whose newest version is one of these, by the version; for any thread."""
        return self._directory.ids_of(versions)

    async def vector(self, streamer_id: str) -> StoredVector | None:
        """The vector of one streamer, from the store; None if it is unknown."""
        known = self._directory.vector(streamer_id)
        if known is None or known.embedding is None:
            return known
        (entry,) = await self._clusters[0].source.entries([streamer_id])
        if entry is None:
            return None
        embedding = np.frombuffer(entry.embedding, "<f4") if entry.embedding else None
        return known._replace(embedding=embedding)

    async def get(self, ids: Sequence[str]) -> list[Row | None]:
        """Rows by id, from the store; see `VectorIndex.get`."""
        found: list[Row | None] = []
        for start in range(0, len(ids), _READ_AT_ONCE):
            some = ids[start : start + _READ_AT_ONCE]
            for entry in await self._clusters[0].source.entries(some):
                known = entry is not None and self._directory.version(entry.streamer_id)
                found.append(_row(entry) if entry is not None and known else None)
        return found

    async def sketches(self, ids: Sequence[str]) -> list[Sketch]:
        """Content sketches, from the store; see `VectorIndex.sketches`."""
        rows = [row for row in await self.get(ids) if row is not None]
        return [
            Sketch(row.streamer_id, row.version, row.content)
            for row in rows
            if row.content is not None
        ]

    async def rows(self) -> AsyncIterator[Row]:
        """All streamers, from the store; see `VectorIndex.rows`."""
        async for entries in self._clusters[0].source.scan():
            for entry in entries:
                if self._directory.version(entry.streamer_id):
                    yield _row(entry)

    async def let_through(self, ids: Sequence[str], wanted: Filter) -> list[bool]:
        """Whether a filter lets each of some streamers through; see `VectorIndex.let_through`."""
        call = partial(self._directory.let_through, ids, wanted)
        cost_ms = len(ids) * _MS_PER_NAME + view_cost_ms(self.count, wanted)
        return await self._work.run(call, cost_ms)

    async def facet_counts(self, wanted: Filter, fields: Sequence[str], most: int) -> FacetCounts:
        """Counts of values; see `VectorIndex.facet_counts`."""
        call = partial(self._directory.facet_counts, wanted, fields, most)
        return await self._work.run(call, _MS_OF_FACETS)

    def deepest(self, query: Query) -> int:
        """Most hits that it can tell; see `VectorIndex.deepest`."""
        return deepest(query)

    async def search(self, query: Query) -> SearchResult:
        """The best rows for a query; see `VectorIndex.search`.

        Raises:
            NotReady: there is no collection to ask yet.
            IndexUnavailable: Milvus does not answer.
            InvalidRequest: more streamers reach the score than Milvus can tell, or too many of
                those who would be in the answer are excluded.
            Overloaded: too many questions wait already, or the deadline passed.
        """
        part, asked = await self._answer(query, query.k)
        if query.is_plain and asked.attached is not None:
            asked.monitor.offer(asked.attached.served.collection, query)
        hits = [*map(Hit, part.ids, part.scores.tolist())]
        exact = not query.is_plain or asked.monitor.refused is not None
        return SearchResult(hits, part.reached, exact, part.unknown)

    async def matches(self, query: Query) -> Matches:
        """Everyone who reaches the query's `min_score`; see `VectorIndex.matches`, and `search`."""
        if query.min_score is None:
            query = replace(query, min_score=-np.inf)
        part, _ = await self._answer(query, None)
        return Matches(part.ids, part.scores, part.unknown)

    async def _answer(self, query: Query, k: int | None) -> tuple[Part, Attachment]:
        """An answer, and the cluster that gave it."""

        async def ask(attachment: Attachment) -> tuple[Part, Attachment]:
            return await self._answers.of(attachment, query, k), attachment

        return await self._failover.ask(ask)

    def is_due(self) -> bool:
        """Whether it has no collection that answers: `rebuild` waits for one."""
        return self.trouble is not None

    def rebuild(self, is_stopped: Callable[[], bool]) -> None:
        """Wait until it may answer: the projector builds the collection; see `Maintained`."""
        while self.trouble is not None and not is_stopped():
            time.sleep(0.05)

    def check_recall(self) -> None:
        """Compare a plain answer with the exact one; see `Maintained`."""
        self._failover.serving.monitor.check()


def _row(entry: Upsert) -> Row:
    has_vector = bool(entry.embedding)
    return Row(
        entry.streamer_id,
        entry.version,
        entry.facets,
        np.frombuffer(entry.embedding, "<f4") if has_vector else None,
        np.frombuffer(entry.content, "<f2") if has_vector else None,
    )
