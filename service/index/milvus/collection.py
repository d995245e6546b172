"""One collection of Milvus: its schema, and what is asked of it. All methods block."""

import json
from collections.abc import Collection as Sized
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from pymilvus import DataType, MilvusClient  # pyright: ignore[reportMissingTypeStubs]
from pymilvus.client.types import LoadState  # pyright: ignore[reportMissingTypeStubs]

from service.errors import IndexUnavailable
from service.index.base import Upsert
from service.index.filters import STREAMER_ID
from service.index.milvus.tokens import (
    ESTABLISHED,
    MOST_BYTES,
    NUMBERS,
    TOKENS,
    VERSION,
    numbers_of,
    tokens_of,
)

MOST_HITS = 16_384
"""Most hits of one search: a limit of Milvus."""
ALL_LISTS = 65_536
"""Of `nprobe`: no index of Milvus has more inverted lists, whichever setting it was built with."""
EMBEDDING = "embedding"
_MOST_TOKENS = 4096
_KIND, _METRIC = "IVF_FLAT", "IP"
_DESCRIPTION = "similar-streamer, layout 1, model "
_LONG = 10
"""So many times the time of a call is had by what is seldom and slow."""
_SEVERAL = 1000
"""Versions in one deletion."""
_SUPPORTED = (2, 3), (3, 0)
"""Versions of Milvus: from the first on, below the second."""


class Found(NamedTuple):
    """The nearest entities of one vector, best first.

    Attributes:
        versions: their keys.
        ids: of their streamers.
        scores: inner products.
        embeddings: float32 (N, D), where they were asked for.
    """

    versions: Sequence[int]
    ids: Sequence[str]
    scores: Sequence[float]
    embeddings: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Shape:
    """What all collections of a model are like.

    Attributes:
        model_version: the model.
        dim: width of its embeddings.
        lists: inverted lists of a segment's index (nlist) in collections that are made from now on.
        probes: lists that a plain search looks into (nprobe).
    """

    model_version: str
    dim: int
    lists: int
    probes: int


class Collection:
    """A collection by its name. Its keys are versions of streamers, which never come back.

    So an insert can be repeated or come late, and no write undoes another: what is no streamer's
    newest version is garbage that whoever asks leaves out. A key twice is shown once, but counts
    twice where a segment tells its nearest, and others may be missing for it.
    """

    def __init__(self, client: MilvusClient, name: str, shape: Shape, timeout_s: float) -> None:
        """Nothing is asked yet.

        Args:
            client: connected.
            name: of the collection.
            shape: of its model.
            timeout_s: for one call.
        """
        self._client = cast(Any, client)  # its methods have partly unknown types
        self._name = name
        self._shape = shape
        self._timeout_s = timeout_s

    def create(self) -> int:
        """Make it, empty and loaded; the number by which Milvus knows it."""
        schema = cast(Any, MilvusClient).create_schema(
            auto_id=False,
            enable_dynamic_field=False,
            description=_DESCRIPTION + self._shape.model_version,
        )
        schema.add_field(VERSION, DataType.INT64, is_primary=True)
        schema.add_field(STREAMER_ID, DataType.VARCHAR, max_length=MOST_BYTES)
        schema.add_field(EMBEDDING, DataType.FLOAT_VECTOR, dim=self._shape.dim)
        schema.add_field(
            TOKENS,
            DataType.ARRAY,
            element_type=DataType.VARCHAR,
            max_capacity=_MOST_TOKENS,
            max_length=MOST_BYTES,
        )
        schema.add_field(NUMBERS, DataType.JSON)
        index = cast(Any, MilvusClient).prepare_index_params()
        params = {"nlist": self._shape.lists}
        index.add_index(EMBEDDING, index_type=_KIND, metric_type=_METRIC, params=params)
        self._client.create_collection(
            self._name,
            schema=schema,
            index_params=index,
            timeout=_LONG * self._timeout_s,  # until it is loaded
        )
        known = self._client.describe_collection(self._name, timeout=self._timeout_s)
        return int(known["collection_id"])

    def problem(self, number: int) -> str | None:
        """Why it is not what `create` made, for people; None where it is.

        Args:
            number: what `create` returned.
        """
        if not self._client.has_collection(self._name, timeout=self._timeout_s):
            return "it was dropped"
        known = self._client.describe_collection(self._name, timeout=self._timeout_s)
        if known["collection_id"] != number:
            return "it was dropped, and another one has its name"
        if known.get("description") != _DESCRIPTION + self._shape.model_version:
            return "it is of another model or layout"
        fields = {field["name"]: field for field in known["fields"]}
        if set(fields) != {VERSION, STREAMER_ID, EMBEDDING, TOKENS, NUMBERS}:
            return f"it has the fields {sorted(fields)}"
        dim = int(fields[EMBEDDING]["params"]["dim"])
        if dim != self._shape.dim:
            return f"its vectors have {dim} numbers, the model's {self._shape.dim}"
        if not self._client.list_indexes(self._name, EMBEDDING, timeout=self._timeout_s):
            return "its index was dropped"
        return None

    def _is_loaded(self) -> bool:
        state = self._client.get_load_state(self._name, timeout=self._timeout_s)["state"]
        return state == LoadState.Loaded

    def held(self, number: int) -> str | None:
        """What `problem` says; otherwise it is loaded into memory, if it is not after a restart."""
        problem = self.problem(number)
        if problem is None and not self._is_loaded():
            self._client.load_collection(self._name, timeout=_LONG * self._timeout_s)
        return problem

    def insert(
        self, rows: Sequence[Upsert], established: Sized[str], *, are_new: bool = True
    ) -> None:
        """Add versions of streamers, each with a vector; in place of those that are not new.

        No search misses what is replaced.
        """
        entities = [_entity(row, row.streamer_id in established) for row in rows]
        write = self._client.insert if are_new else self._client.upsert
        write(self._name, entities, timeout=self._timeout_s)

    def delete(self, versions: Sequence[int]) -> None:
        """Remove versions; unknown ones are no error."""
        for start in range(0, len(versions), _SEVERAL):
            some = [int(v) for v in versions[start : start + _SEVERAL]]
            self._client.delete(self._name, ids=some, timeout=self._timeout_s)

    def versions(self, above: int, up_to: int, expression: str = "") -> list[int]:
        """Versions within bounds that are let through, as of now; at most `MOST_HITS` of them."""
        within = f"{VERSION} > {above} and {VERSION} <= {up_to}"
        found = self._client.query(
            self._name,
            filter=f"{within} and {expression}" if expression else within,
            output_fields=[VERSION],
            limit=MOST_HITS,
            consistency_level="Strong",
            timeout=self._timeout_s,
        )
        return [int(row[VERSION]) for row in found]

    def count(self, expression: str = "") -> int:
        """How many entities an expression lets through, as of now."""
        found = self._client.query(
            self._name,
            filter=expression,
            output_fields=["count(*)"],
            consistency_level="Strong",
            timeout=self._timeout_s,
        )
        return int(found[0]["count(*)"])

    def flush(self) -> None:
        """Seal what was written, so that an index is built of it."""
        self._client.flush(self._name, timeout=_LONG * self._timeout_s)

    def drop(self) -> None:
        """Remove it; none is no error."""
        self._client.drop_collection(self._name, timeout=self._timeout_s)

    def search(
        self,
        vectors: NDArray[np.float32],
        limit: int,
        expression: str = "",
        *,
        exact: bool = False,
        with_embeddings: bool = False,
    ) -> list[Found]:
        """The nearest of each vector (Q, D), as it was a few seconds ago or later.

        Args:
            vectors: any length.
            limit: most hits of each.
            expression: which entities may be hits.
            exact: whether all inverted lists are looked into.
            with_embeddings: whether those of hits are wanted.
        """
        fields = [STREAMER_ID, EMBEDDING] if with_embeddings else [STREAMER_ID]
        probes = ALL_LISTS if exact else self._shape.probes
        found = self._client.search(
            self._name,
            data=[*vectors],
            anns_field=EMBEDDING,
            limit=limit,
            filter=expression,
            output_fields=fields,
            search_params={"metric_type": _METRIC, "params": {"nprobe": probes}},
            consistency_level="Bounded",
            timeout=self._timeout_s,
        )
        return [_found(hits, with_embeddings) for hits in found]

    def probe(self, number: int) -> str | None:
        """What `problem` says; returns None once it was searched, which alone tells that it can be.

        Raises:
            IndexUnavailable: it is not in memory, or the server is of another version by now.
        """
        check_version(self._client.get_server_version(timeout=self._timeout_s))
        problem = self.problem(number)
        if problem is not None:
            return problem
        if not self._is_loaded():
            raise IndexUnavailable(f"Milvus has not loaded collection {self._name} into memory")
        vector = np.zeros((1, self._shape.dim), np.float32)
        vector[0, 0] = 1
        self._client.search(
            self._name,
            data=[*vector],
            anns_field=EMBEDDING,
            limit=1,
            search_params={"metric_type": _METRIC, "params": {"nprobe": 1}},
            consistency_level="Strong",
            timeout=self._timeout_s,
        )
        return None


def check_version(text: str) -> None:
    """Return if a server of this version can be asked.

    Raises:
        IndexUnavailable: it can't.
    """
    parts = text.removeprefix("v").split("-")[0].split(".")
    try:
        version = int(parts[0]), int(parts[1])
    except (ValueError, IndexError):
        raise IndexUnavailable(f"Milvus has the version {text!r}, which can't be read") from None
    first, end = _SUPPORTED
    if not first <= version < end:
        raise IndexUnavailable(
            f"Milvus has version {text}; this service needs one from {first[0]}.{first[1]} on and "
            f"below {end[0]}.{end[1]}: point MILVUS_URI at such a server"
        )


def _found(hits: Any, with_embeddings: bool) -> Found:
    found = list(hits)
    embeddings = None
    if with_embeddings:
        rows = [hit["entity"][EMBEDDING] for hit in found]
        embeddings = np.array(rows, np.float32)
    return Found(
        [int(hit["id"]) for hit in found],
        [str(hit["entity"][STREAMER_ID]) for hit in found],
        [float(hit["distance"]) for hit in found],
        embeddings,
    )


def _entity(row: Upsert, is_established: bool) -> dict[str, Any]:
    facets = json.loads(row.facets)
    tokens = tokens_of(facets)
    return {
        VERSION: row.version,
        STREAMER_ID: row.streamer_id,
        EMBEDDING: np.frombuffer(row.embedding, "<f4"),
        TOKENS: [*tokens, ESTABLISHED] if is_established else tokens,
        NUMBERS: numbers_of(facets),
    }
