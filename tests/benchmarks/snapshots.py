"""How long an index takes to be saved and to be there again, and what memory that needs.

from tests.service.index.asked import put, search
python -m tests.benchmarks.snapshots --rows 200000
"""

import argparse
import gc
import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

from service.engine.replica.maintenance import give_way
from service.files.checksummed import ChecksummedFolder
from service.index.faiss.index import FaissIndex
from service.index.faiss.segmented import Plan
from tests.benchmarks.clustered import clustered
from tests.service.index.asked import put, search

DIM, CONTENT_DIM = 128, 128
MIB = 1 << 20


def facets(i: int) -> bytes:
    """What a streamer of some activity has."""
    return json.dumps(
        {
            "name": f"streamer {i}",
            "language": ("zh", "en", "ja", "es", "de")[i % 5],
            "category": f"c{i % 40}",
            "tags": [f"t{i * j % 500}" for j in range(1, 6)],
            "attributes": {"followers": i * 7919 % 1_000_000, "live": i % 3 == 0},
            "modalities_used": 3,
        }
    ).encode()


def filled(index: FaissIndex, rows: int) -> None:
    """Streamers with clustered vectors."""
    vectors = clustered(rows, DIM)
    for i in range(rows):
        content = vectors[i].astype("<f2").tobytes()
        put(index, f"streamer-{i}", i + 1, vectors[i].tobytes(), content, facets(i))


def searched(index: FaissIndex, queries: np.ndarray, stop: threading.Event) -> list[float]:
    """Milliseconds of searches, one after the other, until it is told to stop."""
    taken: list[float] = []
    while not stop.is_set():
        query = queries[len(taken) % len(queries)]
        begun = time.perf_counter()
        search(index, query)
        taken.append((time.perf_counter() - begun) * 1000)
        time.sleep(0.001)
    return taken


def beside_searches(index: FaissIndex, queries: np.ndarray, path: Path | None) -> list[float]:
    """The same while the index is saved, or for three seconds."""
    stop = threading.Event()

    def save() -> None:
        give_way()
        if path is None:
            time.sleep(3)
        else:
            index.save(path, {}, lambda: False)
        stop.set()

    saver = threading.Thread(target=save)
    saver.start()
    taken = searched(index, queries, stop)
    saver.join()
    return taken


def quantiles(taken: list[float]) -> str:
    """Of milliseconds."""
    p99 = statistics.quantiles(taken, n=100)[98]
    return f"p50 {statistics.median(taken):.2f} ms, p99 {p99:.2f} ms, worst {max(taken):.0f} ms"


def rss_mib() -> int:
    """Of this process, now."""
    return psutil.Process().memory_info().rss // MIB


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--kind", default="auto", help="of the base, a FAISS factory string")
    parser.add_argument("--dir", type=Path, help="where to write (default: temporary files)")
    args = parser.parse_args()
    # The first effort that finds half is taken: neither time nor size depends on it.
    plan = Plan(args.kind, from_rows=1000, recall=0.5)
    index = FaissIndex(DIM, CONTENT_DIM, (), plan)
    begun = time.perf_counter()
    filled(index, args.rows)
    print(f"{args.rows} rows taken in one by one: {time.perf_counter() - begun:.1f} s")
    begun = time.perf_counter()
    index.rebuild()
    print(f"base {index.state().kind} built: {time.perf_counter() - begun:.1f} s")
    queries = clustered(1000, DIM, seed=1)
    folder = Path(tempfile.mkdtemp(dir=args.dir, prefix="snapshots-"))
    try:
        print("searches, nothing else:", quantiles(beside_searches(index, queries, None)))
        begun = time.perf_counter()
        taken = beside_searches(index, queries, folder / "1")
        print(f"saved beside searches: {time.perf_counter() - begun:.2f} s; {quantiles(taken)}")
        before, begun = rss_mib(), time.perf_counter()
        index.save(folder / "2", {}, lambda: False)
        took = time.perf_counter() - begun
        size = sum(ChecksummedFolder(folder / "2").files.values())
        print(f"saved: {took:.2f} s, {size / MIB:.0f} MiB, RSS {before} -> {rss_mib()} MiB")
        expected = [search(index, query, 10) for query in queries[:100]]
        del index
        gc.collect()
        before, begun = rss_mib(), time.perf_counter()
        loaded = FaissIndex(DIM, CONTENT_DIM, (), plan)
        loaded.load(ChecksummedFolder(folder / "2"))
        took = time.perf_counter() - begun
        print(f"loaded: {took:.2f} s, {loaded.count} rows, RSS {before} -> {rss_mib()} MiB")
        found = [search(loaded, query, 10) for query in queries[:100]]
    finally:
        shutil.rmtree(folder)
    return 0 if found == expected else 1


if __name__ == "__main__":
    sys.exit(main())
