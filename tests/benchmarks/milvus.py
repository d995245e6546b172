"""Milvus as the index: recall of plain questions, and questions asked together or one by one.

    python -m tests.benchmarks.milvus --rows 100000

It starts a server from the package `milvus`. Medians of interleaved rounds.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from service.engine.projection.projector import new_name
from service.index.base import Upsert
from service.index.milvus.collection import Collection, Shape
from service.index.milvus.connection import Asked, Connection
from tests.benchmarks.clustered import clustered
from tests.service.milvus_server import MilvusServer

_K, _CLIENTS, _AT_ONCE, _ROUNDS = 10, 64, 1000, 10


async def _measure(uri: str, rows: int, questions: int) -> None:
    vectors = clustered(rows + questions)
    stored, asked = vectors[:rows], vectors[rows:]
    shape = Shape("benchmark", vectors.shape[1], lists=1024, probes=64)
    connection, name = Connection(uri, "", shape, timeout_s=60), new_name("benchmark")
    await connection.call(name, Collection.create)
    began = time.perf_counter()
    for start in range(0, rows, _AT_ONCE):
        some = [
            Upsert(f"s{i}", i + 1, stored[i].tobytes(), b"", b"{}")
            for i in range(start, min(start + _AT_ONCE, rows))
        ]
        await connection.call(name, lambda c, some=some: c.insert(some, ()))
    print(f"{rows} rows inserted, {rows / (time.perf_counter() - began):.0f}/s")
    await connection.call(name, Collection.flush)
    await asyncio.sleep(30)  # its index is built of what was flushed
    assert await connection.call(name, Collection.count) == rows

    plain = Asked(name, _K + 32, "", False, False)
    best = np.argsort(-(asked @ stored.T), axis=1)[:, :_K]
    found = [(await connection.search(plain, v[None]))[0] for v in asked]
    hits = sum(
        len({f"s{i}" for i in row} & set(f.ids[:_K])) for row, f in zip(best, found, strict=True)
    )
    print(f"recall@{_K}: {hits / best.size:.4f}")

    async def together(clients: int) -> float:
        left = list(range(questions))

        async def client() -> None:
            while left:
                await connection.search(plain, asked[left.pop()][None])

        began = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(clients)))
        return questions / (time.perf_counter() - began)

    alone, many = list[float](), list[float]()
    for _ in range(_ROUNDS):
        alone.append(await together(1))
        many.append(await together(_CLIENTS))
    ratio = statistics.median(b / a for a, b in zip(alone, many, strict=True))
    print(
        f"one by one {statistics.median(alone):.0f}/s, {_CLIENTS} clients "
        f"{statistics.median(many):.0f}/s: {ratio:.2f} times"
    )
    await connection.call(name, Collection.drop)
    connection.close()


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description="Measures Milvus as the index.")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = MilvusServer(Path(folder)).start()
        try:
            asyncio.run(_measure(server.wait().uri, options.rows, options.questions))
        finally:
            server.kill()


if __name__ == "__main__":
    main()
