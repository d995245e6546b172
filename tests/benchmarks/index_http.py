"""`GET /v1/streamers/{id}/similar` beside FastAPI's own floor, in one run.

    python -m tests.benchmarks.index_http --rows 100000 --build build/scale

One load generator for both (`closed_loop`), rounds of both in turn; client and servers share the
cores. The exit status is 1 when a target is missed.
"""

import argparse
import contextlib
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from urllib.parse import urlsplit

import faiss
import httpx
import numpy as np
import psutil

from tests.benchmarks.closed_loop import http_request, load
from tests.benchmarks.stored import name_of, prepared, vectors_of
from tests.support.service import ROOT, Service, environment

QUERIES, K = 200, 10
_LOAD_S = 1800


@contextlib.contextmanager
def floor() -> Generator[int, None, None]:
    """The port of FastAPI's floor."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "tests.benchmarks.floor:app", "--no-access-log"]
    command += ["--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment())
    try:
        for _ in range(200):
            with contextlib.suppress(httpx.ConnectError):
                httpx.get(f"http://127.0.0.1:{port}/v1/streamers/a/similar")
                break
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


def wait_for(service: Service, rows: int) -> tuple[float, float, str]:
    """Seconds until all rows are there, until a base is, and its kind."""
    begin, ready = time.perf_counter(), 0.0
    while time.perf_counter() - begin < _LOAD_S:
        state = service.api.get("/readyz").json()
        if not ready and state.get("index_rows", 0) >= rows:
            ready = time.perf_counter() - begin
        if ready and (rows < 50_000 or state["index"]["kind"] != "exact"):
            return ready, time.perf_counter() - begin, str(state["index"])
        time.sleep(0.2)
    raise SystemExit(service.output)


def wait_until_grouped(client: httpx.Client) -> float:
    """Seconds until each write so far is in the groups of duplicates, which takes the cores."""
    begin = time.perf_counter()
    newest = client.get("/readyz").json()["store_sequence"]
    while (client.get("/v1/duplicates?limit=1").json()["evaluated_sequence"] or 0) < newest:
        if time.perf_counter() - begin > _LOAD_S:
            raise SystemExit(f"write {newest} is not in the groups after {_LOAD_S} s")
        time.sleep(0.5)
    return time.perf_counter() - begin


def recall(service: Service, rows: int) -> float:
    """Of the 10 nearest of stored streamers, with FAISS's brute force as the judge."""
    vectors = vectors_of(rows)
    chosen = np.random.default_rng(4).choice(rows, QUERIES, replace=False)
    _, places = faiss.knn(vectors[chosen], vectors, K + 1, faiss.METRIC_INNER_PRODUCT)
    found = 0
    for place, row in zip(chosen.tolist(), places.tolist(), strict=True):
        best = {name_of(i) for i in row if i != place}
        answer = service.api.get(f"/v1/streamers/{name_of(place)}/similar").json()
        found += len(best & {hit["streamer_id"] for hit in answer["hits"]})
    return found / (K * QUERIES)


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.index_http", description=__doc__
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--build", type=Path, default=Path("build/scale"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=10_000, help="of a round")
    parser.add_argument("--connections", type=int, default=16)
    args = parser.parse_args()
    bundle, data = prepared(args.build, args.rows)
    rng = np.random.default_rng(3)
    asked = [
        http_request("GET", f"/v1/streamers/{name_of(i)}/similar")
        for i in rng.integers(args.rows, size=args.requests)
    ]
    with Service(bundle, data) as service, floor() as floor_port:
        ready_s, fast_s, kind = wait_for(service, args.rows)
        port = urlsplit(service.url).port or 0
        print(f"{args.rows:,} rows ready in {ready_s:.0f} s, by {kind} in {fast_s:.0f} s")
        found = recall(service, args.rows)
        ratios: list[float] = []
        rates: list[tuple[float, float]] = []
        for _ in range(args.rounds):
            below = load(floor_port, asked, connections=args.connections)
            ours = load(port, asked, connections=args.connections)
            ratios.append(ours.rate / below.rate)
            rates.append((below.rate, ours.rate))
            for name, run in (("floor", below), ("ours", ours)):
                p50, p99 = run.ms(0.5), run.ms(0.99)
                print(f"{name}: {run.rate:,.0f}/s, {p50:.1f} and {p99:.1f} ms", flush=True)
        rss = psutil.Process(service.process.pid).memory_info().rss
        store = service.store.memory_info().rss
    target = 0.6 if args.rows <= 100_000 else 0.45
    ratio = statistics.median(ratios)
    print("| rows | recall@10 | floor, req/s | similar, req/s | ratio | RSS, MiB | store, MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print(
        f"| {args.rows:,} | {found:.4f} | {statistics.median(r[0] for r in rates):,.0f} | "
        f"{statistics.median(r[1] for r in rates):,.0f} | {ratio:.2f} (target {target}) | "
        f"{rss / 2**20:,.0f} | {store / 2**20:,.0f} |"
    )
    return int(found < 0.99 or ratio < target)


if __name__ == "__main__":
    sys.exit(main())
