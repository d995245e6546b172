"""A collection in memory in place of a server of Milvus, to be late, short or refusing at will."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from service.index.base import Upsert
from service.index.milvus.base import Bounds, MilvusBase, Served
from service.index.milvus.collection import Found, Shape
from service.index.milvus.connection import Asked, Refused
from service.index.milvus.index import MilvusIndex
from service.index.query import Query, ScoringSpec
from tests.service.index.asked import now
from tests.service.index.faiss.records import row
from tests.service.index.milvus.twins import Stored

DIM = 4


class Memory:
    """Stands for `Connection`, and for each of its collections.

    Attributes:
        rows: what was inserted, by version.
        refuses: ids whose rows are refused.
        during: called in each search.
        asked: all searches.
    """

    def __init__(self) -> None:
        self.rows: dict[int, Upsert] = {}
        self.refuses: set[str] = set()
        self.during: Callable[[], None] = lambda: None
        self.asked: list[Asked] = []

    async def call(self, name: str, ask: Callable[[Any], Any]) -> Any:
        return ask(self)

    def insert(self, rows: Sequence[Upsert], established: Any) -> None:
        if any(each.streamer_id in self.refuses for each in rows):
            raise Refused("Milvus: it is too long")
        self.rows |= {each.version: each for each in rows}

    async def search(self, asked: Asked, vectors: np.ndarray) -> list[Found]:
        self.asked.append(asked)
        found: list[Found] = []
        for vector in vectors:
            scored = [
                (-float(np.frombuffer(each.embedding, "<f4") @ vector), version, each.streamer_id)
                for version, each in self.rows.items()
            ]
            best = sorted(scored)[: asked.limit]
            found.append(
                Found([v for _, v, _ in best], [n for *_, n in best], [-s for s, *_ in best])
            )
        self.during()
        return found


class Alone:
    """An index on such a collection, with what the store would hold."""

    def __init__(self, established: Collection[str] = (), **bounds: Any) -> None:
        self.memory, self.stored, self.version = Memory(), Stored(), 0
        connection: Any = self.memory
        self.base = MilvusBase(
            connection, Shape("m", DIM, 16, 4), Bounds(1000, **bounds), established
        )
        self.base.read_from(self.stored)
        self.index = MilvusIndex(self.base, established)

    def write(self, name: str, **facets: Any) -> Upsert:
        self.version += 1
        vector = np.eye(1, DIM, self.version % DIM, dtype=np.float32)[0]
        change = Upsert(name, self.version, *row(vector, 2, facets))
        self.stored.newest[name] = change
        now(self.index.apply([change]))
        return change

    async def serve(self, settled: int, **served: Any) -> None:
        self.base.trouble = None
        await self.base.serve(Served("c", settled, **served))

    async def found(self, k: int = 10, **options: Any) -> set[str]:
        vector = np.eye(1, DIM, dtype=np.float32)[0]
        answer = await self.index.search(Query(ScoringSpec.nearest(vector), k, **options))
        return {hit.streamer_id for hit in answer.hits}
