"""The same streamers in both indexes: FAISS, which scans all rows, and Milvus with its overlay."""

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine, Sequence
from typing import Any, TypeVar

import numpy as np

from service.engine.projection.projector import new_name
from service.index.base import Change, Remove, SearchResult, Upsert
from service.index.faiss.index import FaissIndex
from service.index.milvus.base import Bounds, MilvusBase, Served
from service.index.milvus.collection import Collection, Shape
from service.index.milvus.connection import Connection
from service.index.milvus.index import MilvusIndex
from service.index.query import Query
from tests.service.index.faiss.records import row, unit

T = TypeVar("T")
DIM, CONTENT_DIM = 16, 4
ALMOST = 2e-6


class Stored:
    """Implements `VectorSource`: what the store would hold."""

    def __init__(self) -> None:
        self.newest: dict[str, Upsert] = {}

    async def entries(self, ids: Sequence[str]) -> list[Upsert | None]:
        return [self.newest.get(name) for name in ids]

    async def scan(self) -> AsyncGenerator[Sequence[Upsert], None]:
        yield list(self.newest.values())


class Twins:
    """Both indexes, an event loop, and the newest version number."""

    def __init__(
        self,
        uri: str,
        established: frozenset[str] = frozenset(),
        most_rows: int = 50_000,
        probes: int = 64,
    ) -> None:
        self.runner = asyncio.Runner()
        shape = Shape("contract", DIM, lists=64, probes=probes)
        self.connection = Connection(uri, "", shape, timeout_s=30)
        self.base = MilvusBase(self.connection, shape, Bounds(most_rows), established)
        self.stored, self.established = Stored(), established
        self.base.read_from(self.stored)
        self.faiss = FaissIndex(DIM, CONTENT_DIM, established)
        self.milvus = MilvusIndex([self.base], established)
        self.version, self.settled = 0, 0
        self.unwritten: list[Upsert] = []
        self.name = new_name("contract")
        self.call(Collection.create)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    def call(self, ask: Any) -> Any:
        return self.run(self.connection.call(self.name, ask))

    def close(self) -> None:
        self.call(Collection.drop)
        self.run(self.connection.close())
        self.runner.close()

    def write(self, name: str, embedding: np.ndarray | None, facets: dict[str, Any]) -> None:
        self.version += 1
        change = Upsert(name, self.version, *row(embedding, CONTENT_DIM, facets))
        self.stored.newest[name] = change
        self.apply(change)
        if embedding is not None:
            self.unwritten.append(change)

    def remove(self, name: str) -> None:
        self.version += 1
        del self.stored.newest[name]
        self.apply(Remove(name, self.version))

    def apply(self, *changes: Change) -> None:
        async def both() -> None:
            await self.faiss.apply(changes)
            await self.milvus.apply(changes)

        self.run(both())

    def project(self) -> None:
        """Write everything to the collection; it does not settle."""
        rows, self.unwritten = self.unwritten, []
        for start in range(0, len(rows), 1000):
            self.call(lambda c, start=start: c.insert(rows[start : start + 1000], self.established))

    def settle(self) -> None:
        """Wait until searches see what was written, and let it leave the overlay."""
        expected = self.call(Collection.count)

        async def see() -> None:
            vectors = np.ones((1, DIM), np.float32)
            async with asyncio.timeout(60):
                while True:
                    found = await self.connection.call(
                        self.name, lambda c: c.search(vectors, 16_384, exact=True)
                    )
                    if len(found[0].ids) == min(expected, 16_384):
                        return
                    await asyncio.sleep(0.2)

        self.run(see())
        self.settled = self.version
        self.adopt()

    def adopt(self) -> None:
        self.base.trouble = None
        self.run(
            self.base.serve(Served(self.name, self.settled, frozenset(), self.base.established))
        )

    def compare(self, query: Query) -> SearchResult:
        """Ask both; what they answer, which must be the same."""
        expected = self.run(self.faiss.search(query))
        found = self.run(self.milvus.search(query))
        same(
            [(hit.streamer_id, hit.score) for hit in found.hits],
            [(hit.streamer_id, hit.score) for hit in expected.hits],
        )
        assert found.reached == expected.reached
        assert found.unknown == expected.unknown
        return found

    def compare_matches(self, query: Query) -> int:
        expected = self.run(self.faiss.matches(query))
        found = self.run(self.milvus.matches(query))
        same(
            list(zip(found.ids, found.scores.tolist(), strict=True)),
            list(zip(expected.ids, expected.scores.tolist(), strict=True)),
        )
        assert found.unknown == expected.unknown
        return len(found.ids)


def same(found: list[tuple[str, float]], expected: list[tuple[str, float]]) -> None:
    """The same hits, where scores that are almost equal may stand in either order."""
    np.testing.assert_allclose([s for _, s in found], [s for _, s in expected], atol=ALMOST)
    for (name, score), (other, _) in zip(found, expected, strict=True):
        if name != other:
            assert any(n == name and abs(s - score) < ALMOST for n, s in expected), (name, other)


def facets(rng: np.random.Generator) -> dict[str, Any]:
    """Facets of all types, with values that are easily mistaken for each other."""
    values: list[Any] = [True, False, 1, 0, 1.0, 1.5, "1", "true", 2**53, 2**53 + 1, -7, 1e300]
    values += [
        'quo"te',
        "back\\slash",
        "100 %",
        "汉字 😀",
        "x" * 600,
        "a=s:b",
        "",
        "null",
        "#",
        "~",
    ]
    names = ["x", "y", "live", 'na"me', "名", "a.b/c~d", "tags", "established"]
    chosen = rng.choice(len(names), rng.integers(0, 6), replace=False)
    found: dict[str, Any] = {
        "attributes": {names[i]: values[rng.integers(len(values))] for i in chosen}
    }
    found["attributes"]["views"] = int(rng.integers(0, 1000))
    if rng.random() < 0.9:
        found["language"] = ("zh", "en", "ja", "1")[rng.integers(4)]
    if rng.random() < 0.8:
        found["tags"] = [f"t{t}" for t in rng.integers(0, 12, rng.integers(0, 5))] + ["汉,字"]
    if rng.random() < 0.5:
        found["category"] = ("game", "music", "chat's")[rng.integers(3)]
    return json.loads(json.dumps(found))


def populate(twins: Twins, rng: np.random.Generator, count: int) -> None:
    """Streamers in every state: settled, replaced, deleted, written and not settled, only new."""
    for i in range(count):
        twins.write(f"s{i}", unit(rng, DIM) if i % 50 else None, facets(rng))
    for i in range(0, count, 7):  # replaced before they settle
        twins.write(f"s{i}", unit(rng, DIM), facets(rng))
    for i in range(3, count, 41):
        twins.remove(f"s{i}")
    twins.project()
    twins.settle()
    for i in range(1, count, 9):  # replaced, and written to the collection too
        twins.write(f"s{i}", unit(rng, DIM), facets(rng))
    for i in range(2, count, 43):  # without a vector from now on
        twins.write(f"s{i}", None, facets(rng))
    twins.project()
    for i in range(4, count, 11):  # replaced, and not written yet
        twins.write(f"s{i}", unit(rng, DIM), facets(rng))
    for i in range(5, count, 37):
        twins.remove(f"s{i}") if f"s{i}" in twins.stored.newest else None
    for i in range(5, count, 74):  # and come again
        twins.write(f"s{i}", unit(rng, DIM), facets(rng))
    for i in range(count // 20):
        twins.write(f"new{i}", unit(rng, DIM), facets(rng))
