"""Streamers in slots: each version has a slot of its own, which never changes while it is read.

A write takes a free slot, fills it, and only then lets readers see it; the slot of the version
before is used again once the last reader that could see it is gone. So readers and the writer share
a lock for moments, never for the length of a search, and no reader sees half a row.
"""

import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json
from pyroaring import BitMap

from service.index.approximate import Base
from service.index.attributes import Attributes
from service.index.base import EVERYONE, Facets, Row
from service.index.filters import Filter
from service.index.numbers import slots_of
from service.index.view import View

_INITIAL_SLOTS = 1024
_ROWS_AT_ONCE = 64
"""So many rows are copied before a waiting writer gets its turn."""
_Scalar = TypeVar("_Scalar", bound=np.generic)


class _Known(NamedTuple):
    version: int
    facets: Facets
    slot: int | None  # None without a vector


@dataclass(frozen=True, eq=False)
class Segments:
    """The two parts of what a search may see, as they were at one moment.

    Attributes:
        view: the slots that a base has and that are still what they were when it was built.
        base: that base.
        fresh: int64 (F,), the slots of what was written since.
        size: how many rows both parts have.
    """

    view: View
    base: Base
    fresh: NDArray[np.int64]
    size: int


class Rows:
    """All streamers; safe to use from several threads.

    A base may have been built of the rows as they once were. `covered` are the slots that it has
    and that were not left since, `fresh` all other live ones; so a row is always in one of the two.
    """

    def __init__(self, dim: int, content_dim: int, established: Collection[str] = ()) -> None:
        """Embeddings are (dim,), content sketches (content_dim,)."""
        self._embeddings = np.zeros((_INITIAL_SLOTS, dim), np.float32)  # (capacity, D)
        self._contents = np.zeros((_INITIAL_SLOTS, content_dim), np.float16)  # (capacity, C)
        self._ids: list[str] = []  # by slot
        self._bits = np.zeros(_INITIAL_SLOTS // 8, np.uint8)  # of `_live`
        self._live = BitMap()  # slots that are some streamer's newest version
        self._base: Base | None = None
        self._covered = BitMap()
        self._covered_bits = np.zeros(0, np.uint8)
        self._fresh = BitMap()
        self._to_cover: BitMap | None = None  # by the base that is being built
        self._known: dict[str, _Known] = {}
        self._attributes = Attributes()
        self._are_established = frozenset(established)
        self._established = BitMap()  # their live slots
        self._clock = itertools.count()
        self._readers: dict[int, None] = {}  # when each began, oldest first
        self._left: deque[tuple[int, int]] = deque()  # slots no longer live: since when, slot
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Number of streamers that have a vector."""
        return len(self._live)

    def upsert(
        self, streamer_id: str, version: int, embedding: bytes, content: bytes, facets: bytes
    ) -> None:
        """Take in a version; see `VectorIndex.upsert`."""
        parsed: Facets = from_json(facets)
        with self._lock:
            before = self._known.get(streamer_id)
            if version <= (before.version if before else 0):
                return
            slot = None
            if embedding:
                slot = self._free_slot()
                self._embeddings[slot] = np.frombuffer(embedding, "<f4")
                self._contents[slot] = np.frombuffer(content, "<f2")
                self._ids[slot] = streamer_id
            if before is not None:
                self._leave(before)
            self._known[streamer_id] = _Known(version, parsed, slot)
            if slot is not None:
                self._attributes.add(slot, parsed)
                if streamer_id in self._are_established:
                    self._established.add(slot)
                self._live.add(slot)
                self._fresh.add(slot)
                self._bits[slot >> 3] |= 1 << (slot & 7)

    def remove(self, streamer_id: str, version: int) -> None:
        """Forget a streamer; see `VectorIndex.remove`."""
        with self._lock:
            known = self._known.get(streamer_id)
            if known is not None and known.version < version:
                del self._known[streamer_id]
                self._leave(known)

    def get(self, ids: Sequence[str]) -> list[Row | None]:
        """Rows by id, each as it is at some moment during the call; the arrays are copies."""
        found: list[Row | None] = []
        for start in range(0, len(ids), _ROWS_AT_ONCE):
            with self._lock:
                found += [self._row(name) for name in ids[start : start + _ROWS_AT_ONCE]]
        return found

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
        allowed = self._established if established_only else self._live
        if wanted:
            allowed = self._attributes.allowed(wanted, allowed)
        out = [slot for slot in self._slots_of(exclude) if slot in allowed]
        used = len(self._ids)
        size = len(allowed) - len(out)
        if allowed is self._live:
            bits = self._bits[: (used + 7) // 8].copy()
        else:
            bits = _packed(allowed, used)
        for slot in out:
            _clear(bits, slot)
        return View(self._embeddings[:used], self._ids, bits, size)

    @contextlib.contextmanager
    def segments(self, exclude: Collection[str]) -> Generator[Segments | None, None, None]:
        """Both parts of everyone but some, as `reading`; None without a base."""
        with self._lock:
            segments = self._segments(exclude)
            began = self._begin()
        try:
            yield segments
        finally:
            self._end(began)

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
            self._base, self._covered, self._to_cover = base, covered, None
            self._fresh = self._live - covered
            self._covered_bits = _packed(covered, len(self._ids))

    def give_up(self, base: Base) -> None:
        """Search by this base no more."""
        with self._lock:
            if self._base is base:
                self._base, self._covered, self._fresh = None, BitMap(), self._live.copy()
                self._covered_bits = _packed(self._covered, len(self._ids))

    def sizes(self) -> tuple[Base | None, int, int]:
        """The base, how many of its rows are covered still, and how many rows are fresh."""
        with self._lock:
            return self._base, len(self._covered), len(self._fresh)

    def _segments(self, exclude: Collection[str]) -> Segments | None:
        if self._base is None:
            return None
        bits, fresh = self._covered_bits.copy(), self._fresh
        out = self._slots_of(exclude)
        covered = [slot for slot in out if slot in self._covered]
        for slot in covered:
            _clear(bits, slot)
        if any(slot in fresh for slot in out):
            fresh = fresh - BitMap(out)
        size = len(self._covered) - len(covered)
        used = len(self._ids)
        view = View(self._embeddings[:used], self._ids, bits, size)
        return Segments(view, self._base, slots_of(fresh), size + len(fresh))

    def _begin(self) -> int:
        began = next(self._clock)
        self._readers[began] = None
        return began

    def _end(self, began: int) -> None:
        with self._lock:
            del self._readers[began]

    def _slots_of(self, ids: Collection[str]) -> set[int]:
        known = [self._known[name].slot for name in ids if name in self._known]
        return {slot for slot in known if slot is not None}

    def _row(self, streamer_id: str) -> Row | None:
        known = self._known.get(streamer_id)
        if known is None:
            return None
        version, facets, slot = known
        return Row(
            streamer_id,
            version,
            facets,
            None if slot is None else self._embeddings[slot].copy(),
            None if slot is None else self._contents[slot].copy(),
        )

    def _free_slot(self) -> int:
        """A slot that nobody reads; its id is to be written."""
        if self._left:
            since, slot = self._left[0]
            if since < next(iter(self._readers), since + 1):
                self._left.popleft()
                return slot
        slot = len(self._ids)
        if slot == len(self._embeddings):  # readers keep the arrays that they have
            self._embeddings = _doubled(self._embeddings)
            self._contents = _doubled(self._contents)
            self._bits = _doubled(self._bits)
        self._ids.append("")
        return slot

    def _leave(self, known: _Known) -> None:
        slot = known.slot
        if slot is None:
            return
        self._live.remove(slot)
        _clear(self._bits, slot)
        if slot in self._covered:
            self._covered.remove(slot)
            _clear(self._covered_bits, slot)
        self._fresh.discard(slot)
        if self._to_cover is not None:
            self._to_cover.discard(slot)
        self._established.discard(slot)
        self._attributes.discard(slot, known.facets)
        self._left.append((next(self._clock), slot))


def _packed(slots: BitMap, used: int) -> NDArray[np.uint8]:
    """A bitmap of slots below `used` as bits (ceil(used / 8),)."""
    mask = np.zeros(used, np.bool_)
    mask[slots_of(slots)] = True
    return np.packbits(mask, bitorder="little")


def _clear(bits: NDArray[np.uint8], slot: int) -> None:
    bits[slot >> 3] &= ~np.uint8(1 << (slot & 7))


def _doubled(array: NDArray[_Scalar]) -> NDArray[_Scalar]:
    return np.concatenate([array, np.zeros_like(array)])
