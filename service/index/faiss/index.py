"""The index in this process's memory: rows, exact search, and an ANN segment beside it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from service.files.checksummed import ChecksummedFolder
from service.index.base import (
    Change,
    IndexState,
    Matches,
    Row,
    SearchResult,
    Sketch,
    StoredVector,
)
from service.index.facets import FacetCounts
from service.index.faiss.ann.device import Device
from service.index.faiss.ann.segment import AnnSegment
from service.index.faiss.flat import FlatSearch, view_cost_ms
from service.index.faiss.rows.by_slot import BySlot
from service.index.faiss.rows.table import BLOCK, Rows
from service.index.faiss.segmented import Plan, SegmentedSearch
from service.index.faiss.snapshot import format as snapshots
from service.index.faiss.snapshot.rows import captured, restore
from service.index.filters import Filter
from service.index.query import Query
from service.index.slots import LiveSlots, SlotBlock, ValueClasses
from service.index.work import Inline, Work

_CHANGES_PER_TURN = 50
"""Changes that are applied before other tasks of the event loop get their turn."""
_MS_PER_NAME = 0.0005
_MS_OF_FACETS = 10.0
_MS_PER_ROW = 0.01
"""Of a row that is read: its file record, its JSON, and copies."""
_MS_PER_SKETCH = 0.004
"""Of a sketch that is read from the file."""


class FaissIndex:
    """Implements `VectorIndex`, `Snapshotting`, `Maintained` and `Slotted`."""

    def __init__(
        self,
        dim: int,
        content_dim: int,
        established: Collection[str] = (),
        plan: Plan | None = None,
        *,
        folder: Path | None = None,
        device: Device | None = None,
        work: Work | None = None,
    ) -> None:
        """An empty index.

        Args:
            dim: width of embeddings.
            content_dim: width of content sketches.
            established: ids of established streamers, stored or not.
            plan: when and how to search approximately; None for exact search alone.
            folder: where its file of rarely read fields lies, by default where temporary files are.
            device: where ANN segments are searched, by default the CPU.
            work: where searches run, by default where they are asked for.
        """
        self._rows = Rows(dim, content_dim, established, folder)
        self._by_slot = BySlot(self._rows)
        self._flat = FlatSearch(self._rows)
        self._segmented = plan and SegmentedSearch(self._rows, self._flat, plan, device)
        self._work = work or Inline()

    @property
    def count(self) -> int:
        """Number of streamers that have a vector."""
        return len(self._rows)

    @property
    def segment(self) -> AnnSegment | None:
        """The ANN segment that is searched at the moment, if any."""
        return self._rows.coverage.segment

    def state(self) -> IndexState:
        """How it answers at the moment."""
        return (self._segmented or self._flat).state()

    async def apply(self, changes: Sequence[Change]) -> None:
        """Take in changes in order, on the event loop; see `VectorIndex.apply`."""
        for done, change in enumerate(changes, start=1):
            self._rows.apply(change)
            if done % _CHANGES_PER_TURN == 0:
                await asyncio.sleep(0)

    async def vector(self, streamer_id: str) -> StoredVector | None:
        """The vector of one streamer, in microseconds; None if it is unknown."""
        return self._rows.vector(streamer_id)

    async def get(self, ids: Sequence[str]) -> list[Row | None]:
        """Rows by id, with copies of their arrays; see `VectorIndex.get`."""
        return await self._work.run(partial(self._rows.get, ids), len(ids) * _MS_PER_ROW)

    async def sketches(self, ids: Sequence[str]) -> list[Sketch]:
        """Content sketches of those that have one; see `VectorIndex.sketches`."""
        return await self._work.run(partial(self._rows.sketches, ids), len(ids) * _MS_PER_SKETCH)

    async def rows(self) -> AsyncIterator[Row]:
        """All streamers, block by block; see `VectorIndex.rows`."""
        start, cost_ms = 0, BLOCK * _MS_PER_ROW
        while start < self._rows.used:
            for row in await self._work.run(partial(self._rows.block, start), cost_ms):
                yield row
            start += BLOCK

    def deepest(self, query: Query) -> None:
        """All of them can be told; see `VectorIndex.deepest`."""
        del query

    async def search(self, query: Query) -> SearchResult:
        """The best rows for a query, by the ANN segment if it is plain; see `VectorIndex.search`.

        Plain queries that come at the same time are answered by one call of FAISS.
        """
        segmented = self._segmented
        if segmented is not None and segmented.answers(query):
            return await self._work.together(segmented.search_many, query, segmented.cost_ms(query))
        return await self._work.run(partial(self._flat.search, query), self._flat.cost_ms(query))

    async def matches(self, query: Query) -> Matches:
        """Everyone who reaches the query's `min_score`; see `VectorIndex.matches`."""
        cost_ms = self._flat.cost_ms(replace(query, k=len(self._rows)))
        return await self._work.run(partial(self._flat.matches, query), cost_ms)

    async def let_through(self, ids: Sequence[str], wanted: Filter) -> list[bool]:
        """Whether a filter lets each of some streamers through; see `VectorIndex.let_through`."""
        cost_ms = len(ids) * _MS_PER_NAME + view_cost_ms(len(self._rows), wanted)
        return await self._work.run(partial(self._rows.let_through, ids, wanted), cost_ms)

    async def facet_counts(self, wanted: Filter, fields: Sequence[str], most: int) -> FacetCounts:
        """Counts of values, from bitmaps; see `VectorIndex.facet_counts`."""
        call = partial(self._rows.facet_counts, wanted, fields, most)
        return await self._work.run(call, _MS_OF_FACETS)

    def save(self, path: Path, about: Mapping[str, Any], is_stopped: Callable[[], bool]) -> None:
        """Write a snapshot to a new folder; see `Snapshotting.save`."""
        with captured(self._rows) as found:
            snapshots.write(path, found, about, is_stopped)

    def load(self, source: ChecksummedFolder) -> None:
        """Fill it, which is empty, from a snapshot; see `Snapshotting.load`."""
        found = snapshots.read(source, self._rows.dim, self._rows.cold.stride)
        wanted = self._segmented
        if found.segment is not None and not (
            wanted is not None and wanted.accepts(found.segment, len(found.covered))
        ):
            found = replace(found, segment=None, covered=BitMap())
        restore(self._rows, found)

    def is_due(self) -> bool:
        """Whether `rebuild` would make answers faster."""
        return self._segmented is not None and self._segmented.is_due()

    def rebuild(self, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """Build a new ANN segment, if there is a plan for one; see `Maintained.rebuild`."""
        if self._segmented is not None:
            self._segmented.rebuild(is_stopped)

    def check_recall(self) -> None:
        """Compare an ANN answer with the exact one; see `Maintained.check_recall`."""
        if self._segmented is not None:
            self._segmented.check_recall()

    def live_slots(self) -> LiveSlots:
        """The slots of all streamers that have a vector; see `Slotted.live_slots`."""
        return self._by_slot.live_slots()

    def read_slots(self, slots: NDArray[np.uint32]) -> SlotBlock:
        """What is in some slots; see `Slotted.read_slots`."""
        return self._by_slot.read_slots(slots)

    def ids_in(self, slots: NDArray[np.uint32]) -> list[str]:
        """The ids in some slots; see `Slotted.ids_in`."""
        return self._by_slot.ids_in(slots)

    def slots_of(self, ids: Sequence[str]) -> list[int | None]:
        """Live slots of streamers; see `Slotted.slots_of`."""
        return self._by_slot.slots_of(ids)

    def value_classes(self, field: str, most: int) -> ValueClasses:
        """Classes of one field; see `Slotted.value_classes`."""
        return self._by_slot.value_classes(field, most)
