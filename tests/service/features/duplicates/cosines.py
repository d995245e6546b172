"""Compares stored streamers by their content sketches alone, for tests without a bundle."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from service.engine.candidates.corpus import Entry
from service.engine.work.lanes import Lane, Lanes
from service.features.duplicates.groups.edges import Edge, Pair
from service.index.base import VectorIndex
from service.store.base import Record

_PAIRS_AT_ONCE = 2048
NOTHING = np.zeros(0, np.uint32)


class ContentComparer:
    """A `Comparer` by the cosine of content sketches, which is an edge's weight."""

    def __init__(self, index: Callable[[], VectorIndex], threshold: float, lanes: Lanes) -> None:
        """Compare in `lanes`.

        Args:
            index: the one that is live; it has the sketches.
            threshold: from this cosine on, two streamers are duplicates.
            lanes: where it is done.
        """
        self._index = index
        self._threshold = threshold
        self._lanes = lanes

    @property
    def rules(self) -> str:
        """The threshold."""
        return f"content {self._threshold}"

    @property
    def strong_weight(self) -> float:
        """Half-way from the threshold to a copy."""
        return (1 + self._threshold) / 2

    def entry_of(self, record: Record) -> Entry:
        """The sketches of a record, without keys."""
        content = np.frombuffer(record.content, "<f2").astype(np.float32)
        embedding = np.frombuffer(record.embedding, "<f4")
        return Entry(content, embedding, NOTHING, NOTHING, record.version)

    def keep(self, streamer_id: str, entry: Entry) -> None:
        """The index has it."""

    at_once = 2

    async def entries(self, records: Sequence[Record]) -> list[Entry]:
        """The sketches of records; the index has what is compared."""
        return [self.entry_of(record) for record in records]

    def asked(self, streamer_id: str) -> NDArray[np.uint32]:
        """No keys."""
        return NOTHING

    def close(self) -> None:
        """Nothing is open."""

    def of_all(self, streamers: int, *, to_compare: bool) -> "ContentComparer":
        """The index has all."""
        return self

    async def edges(
        self, pairs: Sequence[Pair], version_of: Callable[[str], int | None] | None = None
    ) -> list[Edge]:
        """Those of the pairs that are duplicates; see `Comparer.edges`."""
        found: list[Edge] = []
        for start in range(0, len(pairs), _PAIRS_AT_ONCE):
            found += await self._some(pairs[start : start + _PAIRS_AT_ONCE])
        return found

    async def _some(self, pairs: Sequence[Pair]) -> list[Edge]:
        names = sorted({name for pair in pairs for name in pair})
        rows = await self._index().get(names)

        def compare() -> list[Edge]:
            contents = [
                (row.streamer_id, row.content)
                for row in rows
                if row is not None and row.content is not None
            ]
            place = {name: i for i, (name, _) in enumerate(contents)}
            known = [pair for pair in pairs if pair[0] in place and pair[1] in place]
            if not known:
                return []
            matrix = np.stack([content for _, content in contents]).astype(np.float32)  # (N, C)
            one = np.array([place[a] for a, _ in known])
            other = np.array([place[b] for _, b in known])
            cosines = np.einsum("pc,pc->p", matrix[one], matrix[other]).tolist()  # (P,)
            return [
                Edge(a, b, round(min(1.0, cosine), 6), "near_duplicate")
                for (a, b), cosine in zip(known, cosines, strict=True)
                if cosine >= self._threshold
            ]

        return await self._lanes.run(compare, Lane.BULK)
