"""What the features need from an index, whatever stands behind it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from service.index.facets import FacetCounts
from service.index.filters import ALL_KNOWN, Filter, Unknown
from service.index.query import Query

Facets = dict[str, Any]
DeviceName = Literal["cpu", "gpu"]
EXACT = "exact"
"""The kind of an index that looks at every row."""


@dataclass(frozen=True, eq=False)
class Row:
    """What the index knows of one streamer.

    `embedding` float32 (D,) and `content` float16 (C,) are None without usable content;
    `facets_json` is an object.
    """

    streamer_id: str
    version: int
    facets_json: bytes | str
    embedding: NDArray[np.float32] | None
    content: NDArray[np.float16] | None

    @cached_property
    def facets(self) -> Facets:
        """What filters read; parsed when first asked for."""
        return from_json(self.facets_json)


class Sketch(NamedTuple):
    """The content of one streamer, as float16 (C,)."""

    streamer_id: str
    version: int
    content: NDArray[np.float16]


class StoredVector(NamedTuple):
    """What a question by a stored streamer starts from.

    Attributes:
        embedding: float32 (D,), None without usable content.
        modalities_used: how many modalities it shows; None where that is not known.
        coverage: share of what it shows that the model knows; None where that is not known.
    """

    embedding: NDArray[np.float32] | None
    modalities_used: int | None
    coverage: float | None


class Upsert(NamedTuple):
    """A version of a streamer to take in; ignored if a newer one is known.

    Attributes:
        streamer_id: whose it is.
        version: above zero.
        embedding: float32 (D,), little-endian; empty without usable content.
        content: float16 (C,), little-endian; empty without usable content.
        facets: a JSON object.
    """

    streamer_id: str
    version: int
    embedding: bytes
    content: bytes
    facets: bytes


class Remove(NamedTuple):
    """A streamer to forget, in every version older than this one."""

    streamer_id: str
    version: int


Change = Upsert | Remove


@dataclass(slots=True)
class Hit:
    """A streamer of an answer and its score, higher is nearer; features add fields of their own."""

    streamer_id: str
    score: float


class SearchResult(NamedTuple):
    """The best hits of a search.

    Attributes:
        hits: best first, equal ones by their ids. Of more that are as good as the last hit, those
            who are first by their ids, if it is `exact`; otherwise any.
        reached: how many streamers reach the score that was asked for, whatever k is.
        exact: whether every streamer that may be in it was looked at.
        unknown: what of the filter no streamer has.
    """

    hits: Sequence[Hit]
    reached: int
    exact: bool = True
    unknown: Unknown = ALL_KNOWN


@dataclass(frozen=True, eq=False)
class Matches:
    """All streamers that reach a score.

    Attributes:
        ids: best first, equal ones by their ids (N,).
        scores: float32 (N,).
        unknown: what of the filter no streamer has.
    """

    ids: Sequence[str]
    scores: NDArray[np.float32]
    unknown: Unknown = ALL_KNOWN


@dataclass(frozen=True)
class ClusterState:
    """One of the clusters that an index elsewhere is in.

    Attributes:
        name: as the settings name it.
        serves: whether questions are asked of it.
        settled: it shows every write up to this one; None while nothing is asked of it.
        overlay_rows: streamers that it lacks, which are searched in memory.
        trouble: why it can't be asked, for people; None while it can.
    """

    name: str
    serves: bool
    settled: int | None
    overlay_rows: int
    trouble: str | None


@dataclass(frozen=True)
class IndexState:
    """How an index answers.

    Attributes:
        kind: a FAISS factory string, or `exact` where every row is looked at.
        scanned: rows that are looked at one by one in each search.
        recall: share of the 50 nearest that it finds, as measured when it was built; None where it
            is exact.
        refused: why a faster kind is not used; None where none was tried in vain.
        device: where `kind` is searched; rows that are looked at one by one are on the CPU.
        served_recall: share of the nearest that it finds on questions asked lately; None where it
            is exact, and while too few were asked.
        clusters: that can answer, each alone; none where the index is in this process.
    """

    kind: str
    scanned: int
    recall: float | None
    refused: str | None
    device: DeviceName = "cpu"
    served_recall: float | None = None
    clusters: Sequence[ClusterState] = ()


class VectorIndex(Protocol):
    """Streamers by id and by vector. Some may be known as established, stored or not.

    Coroutines run on one event loop; `count` and `state` may be asked from any thread.
    """

    @property
    def count(self) -> int:
        """Number of streamers that have a vector, as far as is known: it asks nobody."""
        ...

    def state(self) -> IndexState:
        """How it answers, as far as is known: it asks nobody."""
        ...

    async def apply(self, changes: Sequence[Change]) -> None:
        """Take in changes in order. Other tasks get their turn meanwhile."""
        ...

    async def vector(self, streamer_id: str) -> StoredVector | None:
        """The vector of one streamer; None if the streamer is unknown."""
        ...

    async def get(self, ids: Sequence[str]) -> list[Row | None]:
        """Rows by id, each as it is at some moment during the call; None of unknown streamers.

        Raises:
            Overloaded: as `search`.
        """
        ...

    async def sketches(self, ids: Sequence[str]) -> list[Sketch]:
        """Content sketches of those of these streamers that have usable content, in order.

        Raises:
            Overloaded: as `search`.
        """
        ...

    async def let_through(self, ids: Sequence[str], wanted: Filter) -> list[bool]:
        """Whether a filter lets each of some streamers through; unknown ones it does not.

        Raises:
            Overloaded: as `search`.
        """
        ...

    async def facet_counts(self, wanted: Filter, fields: Sequence[str], most: int) -> FacetCounts:
        """How many of the streamers that have a vector have which values.

        Who is changed or deleted meanwhile may be counted and be missing in fields, so that the
        values of a field that everyone has may sum up to fewer.

        Args:
            wanted: which of them count.
            fields: whose values are counted.
            most: values of each field.

        Raises:
            Overloaded: as `search`.
        """
        ...

    def rows(self) -> AsyncIterator[Row]:
        """All streamers, those without a vector too.

        Each is as it is at some moment meanwhile. One that is changed meanwhile may come twice, or
        not at all.

        Raises:
            Overloaded: as `search`.
        """
        ...

    def deepest(self, query: Query) -> int | None:
        """Most hits of a query that it can tell, whatever `k`; None where that is all of them."""
        ...

    async def search(self, query: Query) -> SearchResult:
        """The best rows for a query, all as of one moment.

        A query that `is_plain` may miss some of the nearest; the result says whether it may have.

        Raises:
            Overloaded: too many searches wait already, or the deadline passed.
        """
        ...

    async def matches(self, query: Query) -> Matches:
        """Everyone who reaches the query's `min_score`, whatever its `k`; always exact.

        Raises:
            Overloaded: as `search`.
        """
        ...
