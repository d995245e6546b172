"""What the use-cases need from an index, whatever stands behind it."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Facets = dict[str, Any]
Predicate = Callable[[str, Facets], bool]
"""Whether a streamer, by id and facets, may be in an answer."""


@dataclass(frozen=True, eq=False)
class Row:
    """What the index knows of one streamer.

    `embedding` float32 (D,) and `content` float16 (C,) are None without usable content.
    """

    streamer_id: str
    version: int
    facets: Facets
    embedding: NDArray[np.float32] | None
    content: NDArray[np.float16] | None


@dataclass(frozen=True)
class Hit:
    """A streamer and its score, higher is nearer."""

    streamer_id: str
    score: float


@dataclass(frozen=True)
class SearchResult:
    """The best hits, best first, and how many streamers reached the wanted score at all."""

    hits: Sequence[Hit]
    reached: int


Scorer = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Combines the cosines of Q seeds (Q, N) to one score per row (N,)."""


class VectorIndex(Protocol):
    """Streamers by id and by vector. Safe to use from several threads."""

    def __len__(self) -> int:
        """Number of streamers that have a vector."""
        ...

    def upsert(
        self, streamer_id: str, version: int, embedding: bytes, content: bytes, facets: bytes
    ) -> None:
        """Take in a version of a streamer; older ones than the one known are ignored."""
        ...

    def remove(self, streamer_id: str, version: int) -> None:
        """Forget every version older than this one."""
        ...

    def get(self, ids: Sequence[str]) -> list[Row | None]:
        """Rows by id, None where the streamer is unknown."""
        ...

    def search(
        self,
        seeds: NDArray[np.float32],
        scorer: Scorer | None,
        k: int,
        *,
        exclude: Collection[str] = (),
        min_score: float | None = None,
        predicate: Predicate | None = None,
    ) -> SearchResult:
        """The k best rows for seeds (Q, D); without a scorer Q is 1, the cosine the score."""
        ...
