"""What the use-cases need from an index, whatever stands behind it."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from service.index.filters import Filter

Facets = dict[str, Any]
EVERYONE = Filter()


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
"""Combines the cosines of Q seeds (Q, N) to one score per row (N,), each row by itself."""


class VectorIndex(Protocol):
    """Streamers by id and by vector. Safe to use from several threads.

    Some of the streamers may be known as established, whether they are stored or not.
    """

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
        """Rows by id, each as it is at some moment during the call; None of unknown streamers."""
        ...

    def search(
        self,
        seeds: NDArray[np.float32],
        scorer: Scorer | None,
        k: int,
        *,
        exclude: Collection[str] = (),
        min_score: float | None = None,
        wanted: Filter = EVERYONE,
        established_only: bool = False,
    ) -> SearchResult:
        """The k best rows for seeds (Q, D); without a scorer Q is 1, the cosine the score.

        All of it is as of one moment, and writers don't wait for it.
        """
        ...

    def is_quick(self, seeds: int, k: int, wanted: Filter) -> bool:
        """Whether such a search takes less than about a millisecond, so nobody minds waiting."""
        ...
