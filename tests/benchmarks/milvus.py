"""Milvus as the index: recall of plain questions, and questions asked together or one by one.

    python -m tests.benchmarks.milvus --rows 100000

It starts a server from the package `milvus`. Medians of interleaved rounds.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import faiss
import numpy as np
from numpy.typing import NDArray
from pymilvus import MilvusClient

from service.engine.projection.projector import new_name
from service.index.base import Upsert
from service.index.milvus.collection import Collection, Shape
from service.index.milvus.connection import Asked, Connection
from tests.benchmarks.clustered import clustered
from tests.service.milvus_server import MilvusServer

_K, _CLIENTS, _AT_ONCE, _ROUNDS = 10, 64, 1000, 10
_LISTS = 1024
_LOADED_S = 30  # by which the query node has the index that was built


def _wait_for_index(uri: str, name: str) -> None:
    client = cast(Any, MilvusClient(uri))
    index = client.list_indexes(name)[0]
    while client.describe_index(name, index)["pending_index_rows"]:
        time.sleep(1)
    client.close()
    time.sleep(_LOADED_S)


async def _fill(connection: Connection, uri: str, name: str, stored: NDArray[np.float32]) -> None:
    await connection.call(name, Collection.create)
    began, rows = time.perf_counter(), len(stored)
    for start in range(0, rows, _AT_ONCE):
        some = [
            Upsert(f"s{i}", i + 1, stored[i].tobytes(), b"", b"{}")
            for i in range(start, min(start + _AT_ONCE, rows))
        ]
        await connection.call(name, lambda c, some=some: c.insert(some, ()))
    print(f"{rows} rows inserted, {rows / (time.perf_counter() - began):.0f}/s", flush=True)
    await connection.call(name, Collection.flush)
    await asyncio.to_thread(_wait_for_index, uri, name)
    assert await connection.call(name, Collection.count) == rows
    print(f"searched by its index after {time.perf_counter() - began:.0f} s", flush=True)


async def _per_s(
    connection: Connection, plain: Asked, asked: NDArray[np.float32], clients: int
) -> float:
    left = [*asked]

    async def client() -> None:
        while left:
            await connection.search(plain, left.pop()[None])

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return len(asked) / (time.perf_counter() - began)


async def _measure(uri: str, rows: int, questions: int, probes: Sequence[int]) -> None:
    vectors = clustered(rows + questions)
    stored, asked = vectors[:rows], vectors[rows:]
    name = new_name("benchmark")
    connections = {
        many: Connection(uri, "", Shape("benchmark", vectors.shape[1], _LISTS, many), timeout_s=60)
        for many in probes
    }
    first = connections[probes[0]]
    await _fill(first, uri, name, stored)

    plain = Asked(name, _K + 32, "", False, False)
    _, best = faiss.knn(asked, stored, _K, faiss.METRIC_INNER_PRODUCT)
    for many, connection in connections.items():
        found = [(await connection.search(plain, v[None]))[0] for v in asked]
        rows_found = zip(best, found, strict=True)
        hits = sum(len({f"s{i}" for i in row} & set(f.ids[:_K])) for row, f in rows_found)
        print(f"{many} lists: recall@{_K} {hits / best.size:.4f}", flush=True)

    rates = {each: list[tuple[float, float]]() for each in connections}
    for _ in range(_ROUNDS):
        for many, connection in connections.items():
            alone = await _per_s(connection, plain, asked, 1)
            rates[many].append((alone, await _per_s(connection, plain, asked, _CLIENTS)))
    for many, each in rates.items():
        alone, together = (statistics.median(side) for side in zip(*each, strict=True))
        ratios = sorted(b / a for a, b in each)
        print(
            f"{many} lists: one by one {alone:.0f}/s, {_CLIENTS} clients {together:.0f}/s: "
            f"{statistics.median(ratios):.2f} times ({ratios[1]:.2f} to {ratios[-2]:.2f})"
        )
    await first.call(name, Collection.drop)
    for connection in connections.values():
        await connection.close()


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description="Measures Milvus as the index.")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--probes", type=int, nargs="+", default=[64], help="lists looked into")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = MilvusServer(Path(folder)).start()
        try:
            asyncio.run(
                _measure(server.wait().uri, options.rows, options.questions, options.probes)
            )
        finally:
            server.kill()


if __name__ == "__main__":
    main()
