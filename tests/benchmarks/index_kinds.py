"""Kinds of indexes side by side: recall of queries that they have not seen, speed, memory, build.

    python -m tests.benchmarks.index_kinds --streamers 100000 --kinds exact auto HNSW32 IVF1024,SQ8

Each is measured as it serves: with the effort that it was given by its own measurement, and exact
scores. Questions a second are those of 32 threads. In `5 % fresh` so many rows were written since
it was built, as many as may be; in `p99 during` another segment is built meanwhile, in a thread
that gives way, as in the service.
"""

import argparse
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from service.engine.replica.maintenance import give_way
from service.index.base import EXACT
from service.index.faiss.ann.device import Cpu, Device, OnCpu
from service.index.faiss.ann.segment import AUTOMATIC
from service.index.faiss.index import FaissIndex
from service.index.faiss.segmented import Plan
from tests.benchmarks.clustered import clustered
from tests.service.index.asked import put, search

DIM, CONTENT_DIM, QUERIES, THREADS = 128, 8, 500, 32
HEADER = """\
| kind | effort | recall | p50 | p99 | q/s | p50, 5 % fresh | MiB | build s | p99 during |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"""


@dataclass(frozen=True)
class Measured:
    """One row of the table; times in microseconds, `MiB` of an ANN segment on the CPU."""

    kind: str
    effort: str
    recall: float
    p50: float
    p99: float
    rate: float
    with_fresh: float
    mib: float
    build_s: float
    during_build: float

    def __str__(self) -> str:
        return (
            f"| {self.kind} | {self.effort} | {self.recall:.4f} | {self.p50:,.0f} | "
            f"{self.p99:,.0f} | {self.rate:,.0f} | {self.with_fresh:,.0f} | {self.mib:,.0f} | "
            f"{self.build_s:,.1f} | {self.during_build:,.0f} |"
        )


def asked(
    index: FaissIndex, queries: NDArray[np.float32]
) -> tuple[list[set[str]], NDArray[np.float64]]:
    """Ids of the 10 nearest of each query (Q, D), and how many microseconds each took (Q,)."""
    found: list[set[str]] = []
    took: list[float] = []
    for query in queries:
        begin = time.perf_counter()
        answer = search(index, query, 10)
        took.append((time.perf_counter() - begin) * 1e6)
        found.append({hit.streamer_id for hit in answer.hits})
    return found, np.array(took)


def rate(index: FaissIndex, queries: NDArray[np.float32]) -> float:
    """Questions a second, asked by as many threads as a service has."""

    def ask(query: NDArray[np.float32]) -> None:
        search(index, query)

    begin = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as threads:
        asked_all = list(threads.map(ask, [*queries, *queries]))
    return len(asked_all) / (time.perf_counter() - begin)


def set_aside(
    rows: int, spread: float = 0.7
) -> tuple[NDArray[np.float32], NDArray[np.float32], list[set[str]]]:
    """Vectors (rows, D), queries (Q, D) from outside, and the ids of the 10 nearest of each."""
    every = clustered(rows + QUERIES, DIM, spread=spread)
    every = every[np.random.default_rng(9).permutation(len(every))]
    vectors, queries = every[:-QUERIES], every[-QUERIES:]
    _, places = faiss.knn(queries, vectors, 10, faiss.METRIC_INNER_PRODUCT)
    return vectors, queries, [{f"s{i}" for i in row} for row in places.tolist()]


def measure(
    kind: str,
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    best: Sequence[set[str]],
    device: Device | None = None,
) -> Measured:
    """Everything of one kind, on the CPU or another device."""
    device = device or Cpu()
    plan = Plan(kind, from_rows=1)
    index = FaissIndex(DIM, CONTENT_DIM, (), None if kind == EXACT else plan, device=device)
    content, nothing = bytes(2 * CONTENT_DIM), b"{}"
    for i, vector in enumerate(vectors):
        put(index, f"s{i}", 1, vector.tobytes(), content, nothing)
    begin = time.perf_counter()
    index.rebuild()
    build_s = time.perf_counter() - begin
    found, took = asked(index, queries)
    at_once = rate(index, queries)
    recall = float(np.mean([len(a & b) / 10 for a, b in zip(found, best, strict=True)]))
    if refused := index.state().refused:
        raise SystemExit(refused)
    segment, effort, mib = index.segment, "", 0.0
    if segment is not None and isinstance(segment.placed, OnCpu):
        few = segment.reach_of_few
        within = "" if few is None else f", within {few.margin:.3f} of {few.nprobe}"
        effort = segment.effort + within
        mib = len(faiss.serialize_index(segment.placed.index)) / 2**20
    during = [0.0]
    builder = threading.Thread(target=lambda: (give_way(), index.rebuild()))
    builder.start()
    while builder.is_alive():
        during.extend(asked(index, queries[:50])[1])
    builder.join()
    for i in range(len(vectors) // 20):
        put(index, f"s{i}", 2, vectors[i].tobytes(), content, nothing)
    fresh = asked(index, queries)[1]
    name = f"{device.factory_for(len(vectors))} ({AUTOMATIC})" if kind == AUTOMATIC else kind
    return Measured(
        name,
        effort,
        recall,
        float(np.median(took)),
        float(np.quantile(took, 0.99)),
        at_once,
        float(np.median(fresh)),
        mib,
        build_s,
        float(np.quantile(during, 0.99)),
    )


def main() -> int:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.index_kinds", description=__doc__
    )
    parser.add_argument("--streamers", type=int, default=100_000)
    parser.add_argument("--spread", type=float, default=0.7, help="of clusters; more is harder")
    parser.add_argument("--kinds", nargs="+", default=[EXACT, AUTOMATIC])
    args = parser.parse_args()
    measured = set_aside(args.streamers, args.spread)
    print(HEADER)
    for kind in args.kinds:
        print(measure(kind, *measured), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
