"""Collections in memory in place of a server of Milvus, to be late, short or refusing at will."""

import asyncio
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from service.errors import IndexUnavailable
from service.index.base import Upsert
from service.index.milvus.base import Bounds, MilvusBase, Served
from service.index.milvus.collection import Found, Shape
from service.index.milvus.connection import Asked, Refused
from service.index.milvus.index import MilvusIndex
from service.index.milvus.tokens import IS_ESTABLISHED
from service.index.query import Query, ScoringSpec
from tests.service.index.asked import now
from tests.service.index.faiss.records import row
from tests.service.index.milvus.twins import Stored

DIM = 4
LEFT_OUT = re.compile(r"version not in \[([0-9, ]+)\]")
"""What a search here reads of an expression."""


class Memory:
    """Stands for `Connection`, and for its collections, which all have the same rows.

    Attributes:
        rows: what was inserted, by version.
        copies: versions that were inserted though they were there: each counts among the nearest.
        established: versions whose rows tell it.
        names: of collections that were created and not dropped.
        keeps: names of collections that can't be dropped.
        tried_to_drop: how often they were to be.
        refuses: ids whose rows are refused.
        loses: ids whose rows are not inserted, though it says so; each once.
        during: called in each search.
        inserting: called before each insertion.
        deleting: called before each deletion.
        created: called after each creation.
        asked: all searches.
        fails: whether all calls fail.
        answered_at: as of `Connection`.
        waits: what each search waits for.
    """

    answered_at = -math.inf

    def __init__(self) -> None:
        self.rows: dict[int, Upsert] = {}
        self.copies = Counter[int]()
        self.established: set[int] = set()
        self.names: set[str] = set()
        self.keeps: set[str] = set()
        self.tried_to_drop = 0
        self.refuses: set[str] = set()
        self.loses: list[str] = []
        self.during: Callable[[], None] = lambda: None
        self.inserting: Callable[[Sequence[Upsert]], None] = lambda _: None
        self.deleting: Callable[[Sequence[int]], None] = lambda _: None
        self.created: Callable[[], None] = lambda: None
        self.asked: list[Asked] = []
        self.fails = False
        self.waits: asyncio.Event | None = None

    async def call(self, name: str, ask: Callable[[Any], Any]) -> Any:
        if self.fails:
            raise IndexUnavailable("Milvus does not answer")
        return ask(_Named(self, name))

    def insert(
        self, rows: Sequence[Upsert], established: Collection[str], *, are_new: bool = True
    ) -> None:
        self.inserting(rows)
        if any(each.streamer_id in self.refuses for each in rows):
            raise Refused("Milvus: it is too long")
        for each in rows:
            if each.streamer_id in self.loses:
                self.loses.remove(each.streamer_id)
            else:
                if are_new and each.version in self.rows:
                    self.copies[each.version] += 1
                self.rows[each.version] = each
        self.established |= {r.version for r in rows if r.streamer_id in established}

    async def search(self, asked: Asked, vectors: np.ndarray) -> list[Found]:
        self.asked.append(asked)
        if self.waits is not None:
            await self.waits.wait()
        if self.fails:
            raise IndexUnavailable("Milvus does not answer")
        found: list[Found] = []
        listed = LEFT_OUT.search(asked.expression)
        left_out = {int(version) for version in listed[1].split(",")} if listed else set[int]()
        for vector in vectors:
            scored = [
                (-float(np.frombuffer(each.embedding, "<f4") @ vector), version, each.streamer_id)
                for version, each in self.rows.items()
                if version not in left_out
                for _ in range(1 + self.copies[version])
            ]
            best = sorted(set(sorted(scored)[: asked.limit]))
            found.append(
                Found([v for _, v, _ in best], [n for *_, n in best], [-s for s, *_ in best])
            )
        self.during()
        return found


class _Named:
    """Stands for `Collection`."""

    def __init__(self, memory: Memory, name: str) -> None:
        self._memory, self._name = memory, name
        self.insert = memory.insert

    def create(self) -> int:
        self._memory.names.add(self._name)
        self._memory.created()
        return 7

    def drop(self) -> None:
        if self._name in self._memory.keeps:
            self._memory.tried_to_drop += 1
            raise IndexUnavailable("Milvus: it is in use")
        self._memory.names.discard(self._name)

    def flush(self) -> None:
        """There are no segments."""

    def held(self, number: int) -> str | None:
        return None if number == 7 and self._name in self._memory.names else "it was dropped"

    def delete(self, versions: Sequence[int]) -> None:
        self._memory.deleting(versions)
        for version in versions:
            self._memory.rows.pop(version, None)

    def versions(self, above: int, up_to: int, expression: str = "") -> list[int]:
        memory = self._memory
        shown = memory.rows.keys() & memory.established if expression else memory.rows.keys()
        assert expression in ("", IS_ESTABLISHED)
        return [version for version in shown if above < version <= up_to]


class Alone:
    """An index on such a collection, or on several, with what the store would hold."""

    def __init__(
        self, established: Collection[str] = (), clusters: Sequence[str] = ("a",), **bounds: Any
    ) -> None:
        self.stored, self.version = Stored(), 0
        self.memories = {name: Memory() for name in clusters}
        self.bases = {name: self._base(name, established, bounds) for name in clusters}
        self.memory, self.base = self.memories[clusters[0]], self.bases[clusters[0]]
        self.index = MilvusIndex([*self.bases.values()], established)

    def _base(self, name: str, established: Collection[str], bounds: Any) -> MilvusBase:
        connection: Any = self.memories[name]
        known = Bounds(1000, **bounds)
        base = MilvusBase(connection, Shape("m", DIM, 16, 4), known, established, name)
        base.read_from(self.stored)
        return base

    def write(self, name: str, **facets: Any) -> Upsert:
        self.version += 1
        vector = np.eye(1, DIM, self.version % DIM, dtype=np.float32)[0]
        change = Upsert(name, self.version, *row(vector, 2, facets))
        self.stored.newest[name] = change
        now(self.index.apply([change]))
        return change

    async def serve(self, settled: int, cluster: str = "a", **served: Any) -> None:
        base = self.bases[cluster]
        base.trouble = None
        await base.serve(Served("c", settled, **served))

    async def found(self, k: int = 10, **options: Any) -> set[str]:
        vector = np.eye(1, DIM, dtype=np.float32)[0]
        answer = await self.index.search(Query(ScoringSpec.nearest(vector), k, **options))
        return {hit.streamer_id for hit in answer.hits}
