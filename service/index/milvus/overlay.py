"""The newest versions of streamers, searched exactly in memory."""

import heapq
from collections.abc import Collection, Set

from service.index.base import Change, Matches, Remove, SearchResult
from service.index.faiss.flat import FlatSearch
from service.index.faiss.rows.table import Rows
from service.index.query import Query


class Overlay:
    """Every version above some number, and of those below the few that Milvus refused."""

    def __init__(self, dim: int, established: Collection[str], above: int) -> None:
        """Nothing is above yet."""
        self._rows = Rows(dim, 0, established)
        self._flat = FlatSearch(self._rows)
        self._versions: list[tuple[int, str]] = []  # a heap
        self._above = above
        self._beside: Set[int] = frozenset()

    def __len__(self) -> int:
        """Number of streamers that have a vector."""
        return len(self._rows)

    @property
    def versions(self) -> int:
        """Versions that were taken in and are above the number still."""
        return len(self._versions)

    def apply(self, change: Change) -> None:
        """Take in a change; versions that are not above are none of its own."""
        if isinstance(change, Remove):
            self._rows.apply(change)
        elif change.version > self._above or change.version in self._beside:
            self._rows.apply(change._replace(content=b""))  # which no search reads
            heapq.heappush(self._versions, (change.version, change.streamer_id))

    def keep(self, beside: Set[int]) -> None:
        """Keep some versions until newer ones replace them, how high the number may ever be."""
        self._beside = beside

    def trim(self, above: int) -> None:
        """Keep only what is above another number, which is not lower."""
        self._above = above
        while self._versions and self._versions[0][0] <= above:
            version, name = heapq.heappop(self._versions)
            if version not in self._beside:
                self._rows.apply(Remove(name, version + 1))

    def search(self, query: Query) -> SearchResult:
        """The best rows for a query."""
        return self._flat.search(query)

    def matches(self, query: Query) -> Matches:
        """Everyone who reaches the query's `min_score`."""
        return self._flat.matches(query)

    def cost_ms(self, query: Query) -> float:
        """Expected milliseconds of `search` on one core."""
        return self._flat.cost_ms(query)
