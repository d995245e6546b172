"""What the process itself knows of all streamers: ids, versions and facets, and no vectors."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.index.base import Change, StoredVector, Upsert
from service.index.facets import FacetCounts
from service.index.faiss.rows.numeric import slots_of
from service.index.faiss.rows.table import Rows
from service.index.filters import Filter
from service.index.query import Query

_HAS_VECTOR = np.ones(1, "<f4").tobytes()
"""Stands for a vector, which is elsewhere."""


class Checked(NamedTuple):
    """Which of some entities a question may be answered with.

    Attributes:
        are_good: for each whether it is its streamer's newest version, and lets the question have
            it.
        allowed: streamers that the question may be answered with.
        unknown_fields: fields of its filter that no streamer has.
    """

    are_good: Sequence[bool]
    allowed: int
    unknown_fields: Sequence[str]


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

    def versions(self, above: int = 0) -> NDArray[np.int64]:
        """Newest versions of streamers that have a vector, ascending."""
        with self._rows.lock:
            versions = self._rows.columns.versions[slots_of(self._rows.live)]  # a copy
        return np.sort(versions[versions > above])

    def ids_of(self, versions: Collection[int]) -> dict[int, str]:
        """Streamers whose newest version is one of these and has a vector, by the version."""
        rows = self._rows
        with rows.lock:
            slots = slots_of(rows.live)
            found = slots[np.isin(rows.columns.versions[slots], np.array([*versions], np.int64))]
            return {int(rows.columns.versions[slot]): rows.ids[slot] for slot in found.tolist()}

    def check(self, query: Query, versions: Iterable[int], ids: Iterable[str]) -> Checked:
        """Which entities, by their versions and ids, may be in the answer of a query."""
        rows = self._rows
        with rows.reading(query.filter, query.exclude, query.established_only) as view:
            good: list[bool] = []
            with rows.lock:
                for version, name in zip(versions, ids, strict=True):
                    slot = rows.slot_of.get(name)
                    good.append(
                        slot is not None
                        and slot in view.allowed
                        and rows.columns.versions[slot] == version
                    )
            return Checked(good, view.size, view.unknown_fields)

    def vector(self, streamer_id: str) -> StoredVector | None:
        """What is known of a streamer; the embedding stands for one that is elsewhere."""
        return self._rows.vector(streamer_id)

    def let_through(self, ids: Sequence[str], wanted: Filter) -> list[bool]:
        """Whether a filter lets each of some streamers through."""
        return self._rows.let_through(ids, wanted)

    def facet_counts(self, wanted: Filter, fields: Sequence[str], most: int) -> FacetCounts:
        """How many of those that a filter lets through have which values."""
        return self._rows.facet_counts(wanted, fields, most)
