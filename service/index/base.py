"""What the use-cases need from an index, whatever stands behind it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from service.files.checksummed import Sealed
from service.index.faiss.ann.device import DeviceName
from service.index.filters import Filter

Facets = dict[str, Any]
EVERYONE = Filter()
EXACT = "exact"
"""The kind of an index that looks at every row."""


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


class StoredVector(NamedTuple):
    """What a question by a stored streamer starts from.

    Attributes:
        embedding: float32 (D,), None without usable content.
        modalities_used: how many it shows; None where that is not known.
    """

    embedding: NDArray[np.float32] | None
    modalities_used: int | None


class Hit(NamedTuple):
    """A streamer and its score, higher is nearer."""

    streamer_id: str
    score: float


class Question(NamedTuple):
    """For the k nearest of a vector (D,), without some."""

    query: NDArray[np.float32]
    k: int
    exclude: Collection[str]


class SearchResult(NamedTuple):
    """The best hits, best first, and how many streamers reached the wanted score at all.

    `exact`: every streamer that may be in it was looked at.
    """

    hits: Sequence[Hit]
    reached: int
    exact: bool = True


@dataclass(frozen=True, eq=False)
class Matches:
    """All streamers that reach a score, best first, equal ones by their ids.

    `scores` is float32, one for each id.
    """

    ids: Sequence[str]
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class IndexState:
    """How an index answers.

    Attributes:
        kind: a FAISS factory string, or `exact` where every row is looked at.
        scanned: rows that are looked at one by one in each search.
        recall: the share of the 50 nearest that it finds, as measured when it was built; None
            where it is exact.
        refused: why a faster kind is not used, None where none was tried in vain.
        device: where `kind` is searched; rows that are looked at one by one are on the CPU.
        served_recall: the share of the nearest that it finds on questions lately asked; None where
            it is exact, and while too few were asked.
    """

    kind: str
    scanned: int
    recall: float | None
    refused: str | None
    device: DeviceName = "cpu"
    served_recall: float | None = None


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

    def everyone(self) -> list[str]:
        """The ids of all streamers, in any order, of those without a vector too."""
        ...

    def vector(self, streamer_id: str) -> StoredVector | None:
        """The vector of one streamer; None if it is unknown. It takes microseconds."""
        ...

    def reserve(self, rows: int) -> None:
        """Make room for so many streamers, which are about to come."""
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
        exact: bool = False,
    ) -> SearchResult:
        """The k best rows for seeds (Q, D); without a scorer Q is 1, the cosine the score.

        All of it is as of one moment, and writers don't wait for it. Not `exact`, it may miss some
        where nothing but the cosine with one seed counts; the result says whether it may have.
        """
        ...

    def search_many(self, questions: Sequence[Question]) -> list[SearchResult]:
        """As `search` by one seed without a scorer, each as of a moment during the call."""
        ...

    def matches(
        self,
        seeds: NDArray[np.float32],
        scorer: Scorer | None,
        min_score: float,
        *,
        exclude: Collection[str] = (),
        wanted: Filter = EVERYONE,
    ) -> Matches:
        """Everyone who reaches `min_score`, however many, as of one moment; always exact."""
        ...

    def is_fast(self, k: int) -> bool:
        """Whether a plain search takes less than about a millisecond, in a thread or not."""
        ...

    def is_quick(self, k: int, *, plain: bool) -> bool:
        """Whether a search takes so little time that handing it to a thread would take as much.

        `plain`: nothing but the cosine with one seed counts, and it need not be exact.
        """
        ...

    def state(self) -> IndexState:
        """How it answers at the moment."""
        ...

    def is_due(self) -> bool:
        """Whether `rebuild` would make it answer faster."""
        ...

    def audit(self) -> None:
        """Compare an answer with the exact one; takes as long as a search that is exact.

        An index that is found to miss too many does without what made it fast.
        """
        ...

    def rebuild(self, is_stopped: Callable[[], bool]) -> None:
        """Prepare faster answers, beside searches and writes; takes seconds to minutes.

        It ends early, with nothing changed, once it is stopped.
        """
        ...

    def save(self, path: Path, about: Mapping[str, Any], is_stopped: Callable[[], bool]) -> None:
        """Write it to a new, sealed folder, beside searches and writes.

        What was written before the call is in it; what is written meanwhile may be missing, in an
        older version, or there.

        Args:
            path: the folder, where nothing is yet.
            about: goes with it.
            is_stopped: asked now and then.

        Raises:
            OSError: it could not be written; nothing is there then.
            Stopped: it was told to stop; likewise.
        """
        ...

    def load(self, sealed: Sealed) -> None:
        """Fill it, which is empty, from such a folder; takes seconds for a million streamers.

        Raises:
            Broken: that is not what was written, or is of another width; it stays empty.
            OSError: there is no room for it; likewise.
        """
        ...
