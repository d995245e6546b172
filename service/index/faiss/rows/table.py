"""Streamers in slots: each version has a slot of its own, which never changes while it is read.

A write takes a free slot, fills it, and only then lets readers see it; the slot of the version
before is used again once the last reader that could see it is gone. So readers and the writer share
a lock for moments, never for the length of a search, and no reader sees half a row.

What is known of a slot is spread over columns (arrays, a list of ids, a file), so that a million of
them are few objects.
"""

import contextlib
import threading
from collections.abc import Collection, Generator, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json
from pyroaring import BitMap

from service.index.base import Change, Facets, Remove, Row, Sketch, StoredVector, Upsert
from service.index.facets import FacetCounts, FieldCounts
from service.index.faiss.ann.segment import AnnSegment
from service.index.faiss.rows.attributes import Attributes, let_through
from service.index.faiss.rows.cold_file import ColdFile
from service.index.faiss.rows.columns import Columns, clear_bit
from service.index.faiss.rows.coverage import Coverage
from service.index.faiss.rows.reuse import SlotReuse
from service.index.faiss.rows.view import Near, View
from service.index.filters import Condition, Filter

_IDS_AT_ONCE = 1024
"""So many are looked up before others may have the lock."""
_ROWS_AT_ONCE = 64
"""So many rows are copied before a waiting writer gets its turn."""
BLOCK = 512
"""Slots that `Rows.block` looks at."""
_UNKNOWN = -1


class Rows:
    """All streamers. Methods are safe to use from several threads.

    Attributes:
        lock: whoever uses the parts below must hold it.
        columns: numbers by slot.
        ids: by slot.
        cold: sketches and facets by slot.
        slot_of: slot of each streamer's newest version, by id.
        live: slots that are some streamer's newest version and have a vector.
        coverage: which of these an ANN segment has.
        attributes: which of these have which value.
        established: which of these are of established streamers.
        reuse: slots that were left.
    """

    def __init__(
        self,
        dim: int,
        content_dim: int,
        established: Collection[str] = (),
        folder: Path | None = None,
    ) -> None:
        """No streamers yet.

        Args:
            dim: width of embeddings.
            content_dim: width of content sketches.
            established: ids of established streamers, stored or not.
            folder: where the file of sketches and facets lies; see `ColdFile`.
        """
        self.lock = threading.Lock()
        self.columns = Columns.reserved(dim)
        self.ids: list[str] = []
        self.cold = ColdFile(2 * content_dim, folder)
        self.slot_of: dict[str, int] = {}
        self.live = BitMap()
        self.coverage = Coverage()
        self.attributes = Attributes()
        self.established = BitMap()
        self.reuse = SlotReuse()
        self._are_established = frozenset(established)

    @property
    def dim(self) -> int:
        """Width of embeddings."""
        return self.columns.embeddings.shape[1]

    def __len__(self) -> int:
        """Number of streamers that have a vector."""
        return len(self.live)

    def apply(self, change: Change) -> None:
        """Take in one change; an older version than the one known is ignored."""
        if isinstance(change, Upsert):
            self._upsert(change)
        else:
            self._remove(change)

    def _upsert(self, change: Upsert) -> None:
        parsed: Facets = from_json(change.facets)
        with self.lock:
            before = self.slot_of.get(change.streamer_id)
            if change.version <= (0 if before is None else self.columns.versions[before]):
                return
            slot = self._free_slot()
            self.ids[slot] = change.streamer_id
            self.columns.versions[slot] = change.version
            self.columns.modalities[slot] = _modalities_used(parsed)
            self.columns.coverages[slot] = _coverage(parsed)
            self.cold.write(slot, change.content, change.facets)
            if before is not None:
                self._leave(before)
            self.slot_of[change.streamer_id] = slot
            if change.embedding:
                self.columns.embeddings[slot] = np.frombuffer(change.embedding, "<f4")
                self._show(slot, parsed)

    def _remove(self, change: Remove) -> None:
        with self.lock:
            slot = self.slot_of.get(change.streamer_id)
            if slot is not None and self.columns.versions[slot] < change.version:
                del self.slot_of[change.streamer_id]
                self._leave(slot)

    def get(self, ids: Sequence[str]) -> list[Row | None]:
        """Rows by id, each as it is at some moment during the call; the arrays are copies."""
        found: list[Row | None] = []
        for start in range(0, len(ids), _ROWS_AT_ONCE):
            with self.lock:
                found += [self._row(name) for name in ids[start : start + _ROWS_AT_ONCE]]
        return found

    def sketches(self, ids: Sequence[str]) -> list[Sketch]:
        """Content sketches of those that have one, each as it is at some moment during the call."""
        found: list[Sketch] = []
        for start in range(0, len(ids), _ROWS_AT_ONCE):
            with self.lock:
                for name in ids[start : start + _ROWS_AT_ONCE]:
                    slot = self.slot_of.get(name)
                    if slot is not None and slot in self.live:
                        content = np.frombuffer(self.cold.read(slot)[0], "<f2")
                        found.append(Sketch(name, int(self.columns.versions[slot]), content))
        return found

    @property
    def used(self) -> int:
        """How many slots hold a row or held one."""
        return len(self.ids)

    def block(self, start: int) -> list[Row]:
        """Rows of `BLOCK` slots from `start` on."""
        with self.lock:
            names = self.ids[start : start + BLOCK]
            here = [n for slot, n in enumerate(names, start) if self.slot_of.get(n) == slot]
        return [row for row in self.get(here) if row is not None]

    def vector(self, streamer_id: str) -> StoredVector | None:
        """The vector of one streamer, copied; None if it is unknown."""
        with self.lock:
            slot = self.slot_of.get(streamer_id)
            if slot is None:
                return None
            shown = int(self.columns.modalities[slot])
            coverage = round(float(self.columns.coverages[slot]), 3)
            return StoredVector(
                self.columns.embeddings[slot].copy() if slot in self.live else None,
                None if shown == _UNKNOWN else shown,
                None if coverage == _UNKNOWN else coverage,
            )

    @contextlib.contextmanager
    def reading(
        self, wanted: Filter, exclude: Collection[str], established_only: bool
    ) -> Generator[View, None, None]:
        """A view that stays as it is until the context ends."""
        are_many = len(exclude) > _IDS_AT_ONCE
        with self.lock:
            began = self.reuse.begin()
            before = self.live.copy() if are_many else BitMap()
        try:
            out = self._slots_by_parts(exclude) if are_many else BitMap()
            almost = self._almost(wanted, established_only) if wanted else None
            with self.lock:
                if are_many:  # some may have got another slot since they were looked up
                    out |= BitMap(s for s in self.live - before if self.ids[s] in exclude)
                else:
                    out = BitMap(self.slots_of(exclude))
                allowed = now = self._everyone(established_only)
                if almost is not None:
                    among, then = almost
                    new = self.attributes.allowed(wanted, now - then, self.slots_of)
                    allowed = (among & now) | new
                view = self._view(allowed, out)
            yield replace(view, unknown=self.attributes.unknown(wanted, self.lock))
        finally:
            self._end(began)

    def _slots_by_parts(self, ids: Iterable[str]) -> BitMap:
        """Slots of many streamers; others have the lock in between. No slot is used again."""
        out, left = BitMap(), iter(ids)
        while part := [*islice(left, _IDS_AT_ONCE)]:
            with self.lock:
                found = self.slots_of(part)
            out |= BitMap(found)
        return out

    def _everyone(self, established_only: bool) -> BitMap:
        return self.established if established_only else self.live

    def _almost(self, wanted: Filter, established_only: bool) -> tuple[BitMap, BitMap]:
        """Whom a filter lets through of those that there are now, and who these are.

        Others have the lock between two conditions, so that some may be gone by its end.
        """
        with self.lock:
            among = then = self._everyone(established_only).copy()
        for condition in wanted.must:
            among = self._holding(condition, among)
        for condition in wanted.must_not:
            among = among - self._holding(condition, among)
        return among, then

    def _holding(self, condition: Condition, among: BitMap) -> BitMap:
        """Those who fulfil it; of those who change meanwhile some may be missing, or too many."""
        with self.lock:
            part = self.attributes.part_for(condition)
            if part is None:
                return self.attributes.holding(condition, among, self.slots_of)
        return part.holding(condition, among, self.slots_of)  # others have the lock

    def _view(self, allowed: BitMap, out: BitMap) -> View:
        out = out & allowed
        used, bits = len(self.ids), None
        if allowed is self.live and len(out) <= _IDS_AT_ONCE:
            bits = self.columns.bits[: (used + 7) // 8].copy()
            for slot in out:
                clear_bit(bits, slot)
        return View(self.columns.embeddings[:used], self.ids, allowed - out, bits)

    def let_through(self, ids: Sequence[str], wanted: Filter) -> list[bool]:
        """Whether a filter lets each of some streamers through, those without a vector too."""
        with self.lock:
            slots = [self.slot_of.get(streamer_id) for streamer_id in ids]
            some = BitMap(slot for slot in slots if slot is not None) & self.live
            allowed = self.attributes.allowed(wanted, some, self.slots_of)
            mute = [s for s in slots if s is not None and s not in self.live]  # in no bitmap
            others = [(self.ids[s], from_json(self.cold.read(s)[1])) for s in mute]
        found = dict(zip(mute, let_through(wanted, others)[0], strict=True))
        return [s is not None and (s in allowed or found.get(s, False)) for s in slots]

    def facet_counts(self, wanted: Filter, fields: Sequence[str], most: int) -> FacetCounts:
        """How many of those that a filter lets through have which values; see `VectorIndex`."""
        with self.reading(wanted, (), False) as view:
            counts: list[FieldCounts] = []
            for field in fields:
                # What changed since the view was made is missing in a copy. To make them all at
                # that moment would keep writes waiting, 8 ms for each one of a million numbers.
                with self.lock:
                    column = self.attributes.copy_of([field])
                counts += column.counts([field], view.allowed, most)
            with self.lock:
                known = self.attributes.known()
        unknown = [*view.unknown.fields, *(f.field for f in counts if not f.values)]
        return FacetCounts(view.size, counts, known, list(dict.fromkeys(unknown)))

    @contextlib.contextmanager
    def near(
        self,
        segment: AnnSegment,
        found: Sequence[NDArray[np.int64]],
        excluded: Sequence[Collection[str]],
    ) -> Generator[Near | None, None, None]:
        """Candidates of searches by a segment, which stay as they are until the context ends.

        Args:
            segment: what was searched.
            found: the slots (S,) that it found, by search.
            excluded: ids that are left out, by search.

        Returns:
            None when another segment is in its place meanwhile, so that what it lacks may be
            neither fresh nor found.
        """
        with self.lock:
            if segment is not self.coverage.segment:
                near, began = None, None
            else:
                each = [
                    self.coverage.candidates(slots, self.slots_of(out))
                    for slots, out in zip(found, excluded, strict=True)
                ]
                near = Near(self.columns.embeddings, self.ids, each)
                began = self.reuse.begin()
        try:
            yield near
        finally:
            if began is not None:
                self._end(began)

    @contextlib.contextmanager
    def building(self) -> Generator[View, None, None]:
        """Everyone, for a segment that `adopt` takes before the context ends; one at a time."""
        with self.lock:
            view = self._view(self.live, BitMap())
            self.coverage.begin_build(self.live)
            began = self.reuse.begin()
        try:
            yield view
        finally:
            with self.lock:
                self.coverage.end_build()
            self._end(began)

    def adopt(self, segment: AnnSegment | None) -> None:
        """Search the segment that was built from now on; none, if it is None."""
        with self.lock:
            self.coverage.adopt(segment, self.live, len(self.ids))

    def give_up(self, segment: AnnSegment) -> None:
        """Search this segment no more."""
        with self.lock:
            if self.coverage.segment is segment:
                self.coverage.use(None, BitMap(), self.live, len(self.ids))

    def sizes(self) -> tuple[AnnSegment | None, int, int]:
        """The segment, how many of its rows it covers still, and how many rows are fresh."""
        with self.lock:
            coverage = self.coverage
            return coverage.segment, len(coverage.covered), len(coverage.fresh)

    def slots_of(self, ids: Iterable[object]) -> set[int]:
        """Slots of the streamers with these ids; anything else is nobody's id. Hold the lock."""
        found = (self.slot_of.get(name) for name in ids if isinstance(name, str))
        return {slot for slot in found if slot is not None}

    def find_established(self) -> None:
        """Mark the live slots of established streamers, all at once. Hold the lock."""
        self.established = BitMap(self.slots_of(self._are_established)) & self.live

    def _end(self, began: int) -> None:
        with self.lock:
            self.reuse.end(began)

    def _row(self, streamer_id: str) -> Row | None:
        slot = self.slot_of.get(streamer_id)
        if slot is None:
            return None
        content, facets = self.cold.read(slot)
        is_live = slot in self.live
        return Row(
            streamer_id,
            int(self.columns.versions[slot]),
            facets,
            self.columns.embeddings[slot].copy() if is_live else None,
            np.frombuffer(content, "<f2") if is_live else None,
        )

    def _free_slot(self) -> int:
        """A slot that nobody reads; its columns are to be written."""
        slot = self.reuse.take()
        if slot is not None:
            return slot
        if len(self.ids) == self.columns.slots:
            self.columns = self.columns.grown()  # readers keep the arrays that they have
        self.ids.append("")
        return len(self.ids) - 1

    def _show(self, slot: int, facets: Facets) -> None:
        self.attributes.add(slot, facets)
        if self.ids[slot] in self._are_established:
            self.established.add(slot)
        self.live.add(slot)
        self.columns.bits[slot >> 3] |= 1 << (slot & 7)
        self.coverage.show(slot)

    def _leave(self, slot: int) -> None:
        if slot in self.live:
            self.attributes.discard(slot, from_json(self.cold.read(slot)[1]))
            self.established.discard(slot)
            self.live.remove(slot)
            clear_bit(self.columns.bits, slot)
            self.coverage.leave(slot)
        self.reuse.leave(slot)


def _modalities_used(facets: Facets) -> int:
    """How many modalities a streamer shows; unknown of those that an old release wrote."""
    found = facets.get("modalities_used")
    return found if isinstance(found, int) and 0 <= found < 128 else _UNKNOWN


def _coverage(facets: Facets) -> float:
    """The coverage of a streamer; unknown likewise."""
    found = facets.get("coverage")
    return found if isinstance(found, int | float) and 0 <= found <= 1 else _UNKNOWN
