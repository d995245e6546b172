"""Questions by vector, a delete and a restart, beside Chroma and Redis vector sets, in one run.

    python -m tests.benchmarks.peers --chroma .chroma/bin/chroma --redis redis-server

Chroma is best installed apart (`python -m venv .chroma && .chroma/bin/pip install chromadb`); Redis
must be 8 or newer. Each is asked over its own interface, by 16 connections, in turns, with as much
effort as a recall of .99 takes.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.closed_loop import Load, ask, load
from tests.benchmarks.clustered import unit
from tests.benchmarks.peers.engines import (
    NEIGHBOURS,
    Chroma,
    Engine,
    Ours,
    RedisSets,
    running,
    wait_for,
)
from tests.benchmarks.stored import name_of, vectors_of

_DELETES = 20
_JUDGED = 1000
"""Queries whose recall is measured."""


@dataclass
class Row:
    """What was measured of one of them."""

    engine: Engine
    loads: list[Load] = field(default_factory=list)
    delete_ms: list[float] = field(default_factory=list)
    recall: float = 0.0
    restart_s: float = 0.0

    def __str__(self) -> str:
        """A row of the table."""
        rate = statistics.median(run.rate for run in self.loads)
        p50, p99 = (statistics.median(run.ms(q) for run in self.loads) for q in (0.5, 0.99))
        return (
            f"| {self.engine.name} | {self.recall:.4f} | {rate:,.0f} | {p50:.1f} | {p99:.1f} | "
            f"{statistics.median(self.delete_ms):.1f} | {self.restart_s:.2f} |"
        )


def best_of(vectors: NDArray[np.float32], queries: NDArray[np.float32]) -> list[set[str]]:
    """The true neighbours."""
    return [
        {name_of(int(i)) for i in np.argpartition(vectors @ query, -NEIGHBOURS)[-NEIGHBOURS:]}
        for query in queries
    ]


def measure_deletes(row: Row, vectors: NDArray[np.float32]) -> None:
    """From the request to the first answer without it."""
    engine = row.engine
    for i in range(_DELETES):
        if name_of(i) not in first_answer(engine, vectors[i]):
            continue  # an index that is not exact may miss even the one that is asked for
        begin = time.perf_counter()
        engine.delete(name_of(i))
        while name_of(i) in first_answer(engine, vectors[i]):
            pass
        row.delete_ms.append((time.perf_counter() - begin) * 1000)


def found_by(engine: Engine, vectors: NDArray[np.float32]) -> int:
    """The place of a vector that is not deleted, and that the engine finds."""
    places = range(_DELETES, len(vectors))
    return next(i for i in places if first_answer(engine, vectors[i])[0] == name_of(i))


def first_answer(engine: Engine, vector: NDArray[np.float32]) -> list[str]:
    """Ids of the nearest."""
    return engine.found(ask(engine.port, engine.query(vector), protocol=engine.protocol))


def measure_restart(row: Row, data: Path, place: int, vector: NDArray[np.float32]) -> None:
    """From the start of the process to the first right answer."""
    begin = time.perf_counter()
    with running(row.engine, data):
        wait_for(lambda: first_answer(row.engine, vector)[0] == name_of(place))
        row.restart_s = time.perf_counter() - begin


def measured(
    engines: list[Engine], build: Path, vectors: NDArray[np.float32], requests: int, turns: int
) -> list[Row]:
    """All of them, running beside each other and asked in turns."""
    rng = np.random.default_rng(3)
    noise = rng.standard_normal((requests, vectors.shape[1]), dtype=np.float32)
    chosen = vectors[rng.choice(len(vectors), requests)]
    queries = unit(chosen + noise * (0.3 / vectors.shape[1] ** 0.5))
    best = best_of(vectors, queries[:_JUDGED])
    rows = [Row(engine) for engine in engines]
    with tempfile.TemporaryDirectory(dir=build) as folder, ExitStack() as stack:
        places: list[Path] = []
        for engine in engines:
            pristine = engine.stored(build, vectors)
            places.append(Path(folder, pristine.name))
            shutil.copytree(pristine, places[-1], ignore=shutil.ignore_patterns("*.sock"))
        for engine, place in zip(engines, places, strict=True):
            stack.enter_context(running(engine, place))
            wait_for(engine.is_settled)
        for turn in range(turns + 1):
            for row in rows:
                asked = [row.engine.query(query) for query in queries]
                run = load(row.engine.port, asked, protocol=row.engine.protocol)
                if turn:  # the first warms up
                    row.loads.append(run)
                found = [set(row.engine.found(answer)) for answer in run.answers[:_JUDGED]]
                row.recall = sum(len(a & b) for a, b in zip(found, best, strict=True)) / (
                    NEIGHBOURS * len(best)
                )
        for row in rows:
            measure_deletes(row, vectors)
        known = [found_by(row.engine, vectors) for row in rows]
        stack.close()
        for row, place, i in zip(rows, places, known, strict=True):
            measure_restart(row, place, i, vectors[i])
    return rows


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.peers", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--chroma", help="the program of a Chroma server")
    parser.add_argument("--redis", help="redis-server, of Redis 8 or newer")
    parser.add_argument("--chroma-effort", type=int, default=220, help="ef_search of its index")
    parser.add_argument("--redis-effort", type=int, default=300, help="EF of its questions")
    parser.add_argument("--build", type=Path, default=Path("build/peers"))
    args = parser.parse_args()
    args.build.mkdir(parents=True, exist_ok=True)
    engines: list[Engine] = [Ours()]
    if args.chroma:
        engines.append(Chroma(args.chroma, args.chroma_effort))
    if args.redis:
        engines.append(RedisSets(args.redis, args.redis_effort))
    vectors = vectors_of(args.rows)
    rows = measured(engines, args.build, vectors, args.requests, args.turns)
    print("| | recall@10 | questions/s | median, ms | p99, ms | delete, ms | restart, s |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print("\n".join(map(str, rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
