"""Streamers in slots: each version has a slot of its own, which never changes while it is read.

A write takes a free slot, fills it, and only then lets readers see it; the slot of the version
before is used again once the last reader that could see it is gone. So readers and the writer share
a lock for moments, never for the length of a search, and no reader sees half a row.

What is known of a slot is spread over columns (arrays, a list of ids, a file), so that a million of
them are few objects.
"""

import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Collection, Generator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json
from pyroaring import BitMap

from service.index.base import EVERYONE, Facets, Row, StoredVector
from service.index.faiss.ann.segment import Base
from service.index.faiss.rows.attributes import Attributes
from service.index.faiss.rows.cold_file import Cold
from service.index.faiss.rows.columns import clear_bit, grown
from service.index.faiss.rows.numeric import slots_of
from service.index.faiss.rows.view import Candidates, Near, View
from service.index.filters import Filter

_INITIAL_SLOTS = 1024
_ROWS_AT_ONCE = 64
"""So many rows are copied before a waiting writer gets its turn."""
_UNKNOWN = -1


class Rows:
    """All streamers; safe to use from several threads.

    A base may have been built of the rows as they once were. `covered` are the slots that it has
    and that were not left since, `fresh` all other live ones; so a row is always in one of the two.
    """

    def __init__(
        self,
        dim: int,
        content_dim: int,
        established: Collection[str] = (),
        folder: Path | None = None,
    ) -> None:
        """Embeddings are (dim,), content sketches (content_dim,); `folder` as in `Cold`."""
        self._embeddings = np.zeros((_INITIAL_SLOTS, dim), np.float32)  # (capacity, D)
        self._versions = np.zeros(_INITIAL_SLOTS, np.int64)
        self._modalities = np.zeros(_INITIAL_SLOTS, np.int8)  # used ones, or _UNKNOWN
        self._ids: list[str] = []  # by slot
        self._cold = Cold(2 * content_dim, folder)
        self._slot_of: dict[str, int] = {}
        self._live = BitMap()  # slots that are some streamer's newest version and have a vector
        self._bits = np.zeros(_INITIAL_SLOTS // 8, np.uint8)  # of `_live`
        self._base: Base | None = None
        self._covered = BitMap()
        self._is_covered = np.zeros(0, np.bool_)  # by slot, the same
        self._fresh = BitMap()
        self._fresh_slots: NDArray[np.int64] | None = None  # of `_fresh`, None when it changed
        self._to_cover: BitMap | None = None  # by the base that is being built
        self._attributes = Attributes()
        self._are_established = frozenset(established)
        self._established = BitMap()  # their live slots
        self._clock = itertools.count()
        self._readers: dict[int, None] = {}  # when each began, oldest first
        self._left: deque[tuple[int, int]] = deque()  # slots no longer used: since when, slot
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Number of streamers that have a vector."""
        return len(self._live)

    def reserve(self, rows: int) -> None:
        """Make room for so many, so that nothing is copied as they come."""
        with self._lock:
            self._grow(rows)

    def upsert(
        self, streamer_id: str, version: int, embedding: bytes, content: bytes, facets: bytes
    ) -> None:
        """Take in a version; see `VectorIndex.upsert`."""
        parsed: Facets = from_json(facets)
        with self._lock:
            before = self._slot_of.get(streamer_id)
            if version <= (0 if before is None else self._versions[before]):
                return
            slot = self._free_slot()
            self._ids[slot] = streamer_id
            self._versions[slot] = version
            self._modalities[slot] = _modalities_used(parsed)
            self._cold.write(slot, content, facets)
            if before is not None:
                self._leave(before)
            self._slot_of[streamer_id] = slot
            if embedding:
                self._embeddings[slot] = np.frombuffer(embedding, "<f4")
                self._show(slot, parsed)

    def remove(self, streamer_id: str, version: int) -> None:
        """Forget a streamer; see `VectorIndex.remove`."""
        with self._lock:
            slot = self._slot_of.get(streamer_id)
            if slot is not None and self._versions[slot] < version:
                del self._slot_of[streamer_id]
                self._leave(slot)

    def get(self, ids: Sequence[str]) -> list[Row | None]:
        """Rows by id, each as it is at some moment during the call; the arrays are copies."""
        found: list[Row | None] = []
        for start in range(0, len(ids), _ROWS_AT_ONCE):
            with self._lock:
                found += [self._row(name) for name in ids[start : start + _ROWS_AT_ONCE]]
        return found

    def everyone(self) -> list[str]:
        """All ids, of streamers without a vector too."""
        return list(self._slot_of)

    def vector(self, streamer_id: str) -> StoredVector | None:
        """See `VectorIndex.vector`."""
        with self._lock:
            slot = self._slot_of.get(streamer_id)
            if slot is None:
                return None
            shown = int(self._modalities[slot])
            return StoredVector(
                self._embeddings[slot].copy() if slot in self._live else None,
                None if shown == _UNKNOWN else shown,
            )

    @contextlib.contextmanager
    def reading(
        self, wanted: Filter, exclude: Collection[str], established_only: bool
    ) -> Generator[View, None, None]:
        """A view that stays as it is until the context ends."""
        with self._lock:
            view = self._view(wanted, exclude, established_only)
            began = self._begin()
        try:
            yield view
        finally:
            self._end(began)

    def _view(self, wanted: Filter, exclude: Collection[str], established_only: bool) -> View:
        everyone = self._established if established_only else self._live
        allowed = self._attributes.allowed(wanted, everyone) if wanted else everyone
        out = [slot for slot in self._slots_of(exclude) if slot in allowed]
        used, bits = len(self._ids), None
        if allowed is self._live:
            bits = self._bits[: (used + 7) // 8].copy()
            for slot in out:
                clear_bit(bits, slot)
        return View(self._embeddings[:used], self._ids, allowed - BitMap(out), bits)

    @contextlib.contextmanager
    def near(
        self,
        base: Base,
        found: Sequence[NDArray[np.int64]],
        excluded: Sequence[Collection[str]],
    ) -> Generator[Near | None, None, None]:
        """What to score of slots that a base found (S,) and of fresh ones, by search.

        Of each search those that it wants `excluded` are left out. It stays as it is until the
        context ends. None when another base is in its place meanwhile, so that what it lacks may be
        neither fresh nor found.
        """
        with self._lock:
            if base is not self._base:
                near, began = None, None
            else:
                each = [self._candidates(*s) for s in zip(found, excluded, strict=True)]
                near, began = Near(self._embeddings, self._ids, each), self._begin()
        try:
            yield near
        finally:
            if began is not None:
                self._end(began)

    def _candidates(self, found: NDArray[np.int64], exclude: Collection[str]) -> Candidates:
        if self._fresh_slots is None:
            self._fresh_slots = slots_of(self._fresh)
        fresh, covered = self._fresh_slots, len(self._covered)
        is_wanted = self._is_covered[found]
        for slot in self._slots_of(exclude):
            if slot in self._covered:
                is_wanted &= found != slot
                covered -= 1
            elif slot in self._fresh:
                fresh = fresh[fresh != slot]
        found = found[is_wanted]
        slots = np.concatenate([found, fresh]) if len(fresh) else found
        return Candidates(slots, len(found), covered, covered + len(fresh))

    @contextlib.contextmanager
    def building(self) -> Generator[View, None, None]:
        """Everyone, for a base that `adopt` takes before the context ends; one at a time."""
        with self._lock:
            view = self._view(EVERYONE, (), False)
            self._to_cover = self._live.copy()
            began = self._begin()
        try:
            yield view
        finally:
            with self._lock:
                self._to_cover = None
            self._end(began)

    def adopt(self, base: Base | None) -> None:
        """Search by this base from now on; by none, if it is None."""
        with self._lock:
            covered = BitMap() if base is None or self._to_cover is None else self._to_cover
            self._to_cover = None
            self._search_by(base, covered)

    def give_up(self, base: Base) -> None:
        """Search by this base no more."""
        with self._lock:
            if self._base is base:
                self._search_by(None, BitMap())

    def _search_by(self, base: Base | None, covered: BitMap) -> None:
        self._base, self._covered = base, covered
        self._is_covered = np.zeros(len(self._ids), np.bool_)
        self._is_covered[slots_of(covered)] = True
        self._fresh, self._fresh_slots = self._live - covered, None

    @property
    def base(self) -> Base | None:
        """What searches go by at the moment."""
        return self._base

    @property
    def fresh(self) -> int:
        """How many rows are fresh."""
        return len(self._fresh)

    def sizes(self) -> tuple[Base | None, int, int]:
        """The base, how many of its rows are covered still, and how many rows are fresh."""
        with self._lock:
            return self._base, len(self._covered), len(self._fresh)

    def _begin(self) -> int:
        began = next(self._clock)
        self._readers[began] = None
        return began

    def _end(self, began: int) -> None:
        with self._lock:
            del self._readers[began]

    def _slots_of(self, ids: Collection[str]) -> set[int]:
        return {self._slot_of[name] for name in ids if name in self._slot_of}

    def _row(self, streamer_id: str) -> Row | None:
        slot = self._slot_of.get(streamer_id)
        if slot is None:
            return None
        content, facets = self._cold.read(slot)
        is_live = slot in self._live
        return Row(
            streamer_id,
            int(self._versions[slot]),
            from_json(facets),
            self._embeddings[slot].copy() if is_live else None,
            np.frombuffer(content, "<f2") if is_live else None,
        )

    def _free_slot(self) -> int:
        """A slot that nobody reads; its columns are to be written."""
        if self._left:
            since, slot = self._left[0]
            if since < next(iter(self._readers), since + 1):
                self._left.popleft()
                return slot
        slot = len(self._ids)
        if slot == len(self._embeddings):
            self._grow(slot + slot // 2)
        self._ids.append("")
        return slot

    def _grow(self, rows: int) -> None:
        """Let the columns hold so many rows; readers keep the arrays that they have."""
        if rows > len(self._embeddings):
            rows = -(-rows // 8) * 8
            self._embeddings = grown(self._embeddings, rows)
            self._versions = grown(self._versions, rows)
            self._modalities = grown(self._modalities, rows)
            self._bits = grown(self._bits, rows // 8)

    def _show(self, slot: int, facets: Facets) -> None:
        self._attributes.add(slot, facets)
        if self._ids[slot] in self._are_established:
            self._established.add(slot)
        self._live.add(slot)
        self._bits[slot >> 3] |= 1 << (slot & 7)
        self._fresh.add(slot)
        self._fresh_slots = None

    def _leave(self, slot: int) -> None:
        if slot in self._live:
            self._attributes.discard(slot, from_json(self._cold.read(slot)[1]))
            self._established.discard(slot)
            self._live.remove(slot)
            clear_bit(self._bits, slot)
            if slot in self._covered:
                self._covered.remove(slot)
                self._is_covered[slot] = False
            elif slot in self._fresh:
                self._fresh.remove(slot)
                self._fresh_slots = None
            if self._to_cover is not None:
                self._to_cover.discard(slot)
        self._left.append((next(self._clock), slot))


def _modalities_used(facets: Facets) -> int:
    """How many modalities a streamer shows; unknown of those that an old release wrote."""
    found = facets.get("modalities_used")
    return found if isinstance(found, int) and 0 <= found < 128 else _UNKNOWN
