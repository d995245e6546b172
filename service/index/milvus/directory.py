"""What the process itself knows of all streamers: ids, versions and facets, and no vectors."""

from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.index.base import Change, StoredVector, Upsert
from service.index.facets import FacetCounts
from service.index.faiss.rows.numeric import slots_of
from service.index.faiss.rows.table import Rows
from service.index.filters import Filter, Unknown
from service.index.query import Query

_AT_ONCE = 1000
_HAS_VECTOR = np.ones(1, "<f4").tobytes()
"""Stands for a vector, which is elsewhere."""


class Newest(NamedTuple):
    """Newest versions of streamers that have a vector.

    Attributes:
        versions: ascending, int64 (N,).
        slots: where each is in the directory, (N,).
    """

    versions: NDArray[np.int64]
    slots: NDArray[np.int64]

    def without(self, others: NDArray[np.int64]) -> "Newest":
        """Those that are not among others, which are ascending."""
        are_kept = np.isin(self.versions, others, assume_unique=True, invert=True)
        return Newest(self.versions[are_kept], self.slots[are_kept])

    def among(self, others: NDArray[np.int64]) -> "Newest":
        """Those that are among others."""
        are_kept = np.isin(self.versions, others)
        return Newest(self.versions[are_kept], self.slots[are_kept])

    def part(self, start: int, end: int) -> "Newest":
        """Some of them, by their places."""
        return Newest(self.versions[start:end], self.slots[start:end])


class Checked(NamedTuple):
    """Which of some entities a question may be answered with.

    Attributes:
        are_good: for each whether it is its streamer's newest version, and lets the question have
            it.
        newest: for each its streamer's newest version; 0 of an unknown one.
        allowed: streamers that the question may be answered with.
        unknown: what of its filter no streamer has.
    """

    are_good: Sequence[bool]
    newest: Sequence[int]
    allowed: int
    unknown: Unknown


class Directory:
    """Streamers by id. Methods are safe to use from several threads."""

    def __init__(self, established: Collection[str] = (), folder: Path | None = None) -> None:
        """Nobody yet; arguments as of `Rows`."""
        self._rows = Rows(1, 0, established, folder)

    def __len__(self) -> int:
        """Number of streamers that have a vector."""
        return len(self._rows)

    def apply(self, change: Change) -> None:
        """Take in one change; older ones change nothing."""
        if isinstance(change, Upsert):
            vector = _HAS_VECTOR if change.embedding else b""
            change = Upsert(change.streamer_id, change.version, vector, b"", change.facets)
        self._rows.apply(change)

    def version(self, streamer_id: str) -> int:
        """The newest version of a streamer; 0 of an unknown one."""
        with self._rows.lock:
            slot = self._rows.slot_of.get(streamer_id)
            return 0 if slot is None else int(self._rows.columns.versions[slot])

    def versions_of(self, ids: Iterable[str]) -> set[int]:
        """The newest versions of streamers; none of unknown ones."""
        found, left = set[int](), iter(ids)
        while part := [*islice(left, _AT_ONCE)]:
            with self._rows.lock:
                slots = [*self._rows.slots_of(part)]
                found.update(self._rows.columns.versions[slots].tolist())
        return found

    def newest(
        self, above: int = 0, up_to: int | None = None, *, established_only: bool = False
    ) -> Newest:
        """Newest versions of streamers that have a vector, above a number and up to another one."""
        with self._rows.lock:
            live = self._rows.established if established_only else self._rows.live
            slots = slots_of(live).astype(np.int64)
            versions = self._rows.columns.versions[slots].astype(np.int64)  # a copy
        are_kept = versions > above
        if up_to is not None:
            are_kept &= versions <= up_to
        versions, slots = versions[are_kept], slots[are_kept]
        order = np.argsort(versions)
        return Newest(versions[order], slots[order])

    def ids_at(self, newest: Newest) -> dict[int, str]:
        """Streamers by versions that are newest still."""
        rows, found = self._rows, dict[int, str]()
        for start in range(0, len(newest.versions), _AT_ONCE):
            part = newest.part(start, start + _AT_ONCE)
            with rows.lock:
                for version, slot in zip(part.versions.tolist(), part.slots.tolist(), strict=True):
                    if slot in rows.live and rows.columns.versions[slot] == version:
                        found[version] = rows.ids[slot]
        return found

    def ids_of(self, versions: Collection[int]) -> dict[int, str]:
        """Streamers whose newest version is one of these and has a vector, by the version."""
        return self.ids_at(self.newest().among(np.array([*versions], np.int64)))

    def check(self, query: Query, versions: Iterable[int], ids: Iterable[str]) -> Checked:
        """Which entities, by their versions and ids, may be in the answer of a query."""
        rows = self._rows
        with rows.reading(query.filter, query.exclude, query.established_only) as view:
            good, newest = list[bool](), list[int]()
            with rows.lock:
                for version, name in zip(versions, ids, strict=True):
                    slot = rows.slot_of.get(name)
                    known = 0 if slot is None else int(rows.columns.versions[slot])
                    newest.append(known)
                    good.append(slot is not None and slot in view.allowed and known == version)
            return Checked(good, newest, view.size, view.unknown)

    def vector(self, streamer_id: str) -> StoredVector | None:
        """What is known of a streamer; the embedding stands for one that is elsewhere."""
        return self._rows.vector(streamer_id)

    def let_through(self, ids: Sequence[str], wanted: Filter) -> list[bool]:
        """Whether a filter lets each of some streamers through."""
        return self._rows.let_through(ids, wanted)

    def facet_counts(self, wanted: Filter, fields: Sequence[str], most: int) -> FacetCounts:
        """How many of those that a filter lets through have which values."""
        return self._rows.facet_counts(wanted, fields, most)
