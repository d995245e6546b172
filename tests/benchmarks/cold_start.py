"""`POST /v1/cold-start` by id with 10 neighbours and 100 users, quiet and beside a bulk load.

    python -m tests.benchmarks.cold_start --streamers 100000 --users 1000000

Asked is for newcomers, who are stored and have no vector in the generation, one after the other.
Each round begins once the service is idle and has a bare floor (`/livez` on the same connection), a
quiet part and one beside `:bulk`; the medians of the rounds count. The client shares the cores with
the service. The exit status is 1 when a target is missed.
"""

import argparse
import json
import shutil
import socket
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import psutil

from tests.benchmarks.closed_loop import http_request
from tests.benchmarks.index_http import wait_for, wait_until_grouped
from tests.benchmarks.mixed_load import bulk
from tests.benchmarks.stored import name_of, prepared, vectors_of
from tests.support.service import Service

TARGETS = {"quiet p50": 8.0, "quiet p99": 20.0, "bulk p99": 30.0}
"""Milliseconds."""
_NEW = 0.05
"""Share of the streamers that have no vector."""


def asked(port: int, requests: list[bytes], seconds: float) -> np.ndarray:
    """Milliseconds of each answer, one request after the other."""
    took: list[float] = []
    begin = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        while time.perf_counter() - begin < seconds:
            start = time.perf_counter()
            connection.sendall(requests[len(took) % len(requests)])
            answer = connection.recv(1 << 20)
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), answer[:300]
            left = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]) - len(body)
            while left > 0:
                left -= len(connection.recv(left))
            took.append(1000 * (time.perf_counter() - start))
    return np.array(took)


def cpu_s(service: Service) -> float:
    """Seconds that the cores worked for the service."""
    times = psutil.Process(service.process.pid).cpu_times()
    return times.user + times.system


def until_idle(service: Service, seconds: float = 600) -> float:
    """Wait until what follows a load, such as building segments, takes no core any more."""
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        before = cpu_s(service)
        time.sleep(3)
        if cpu_s(service) - before < 0.6:  # it looks into the store many times a second
            break
    return time.perf_counter() - begin


def questions(rows: int, known: int) -> list[bytes]:
    """Questions for streamers without a vector."""
    drawn = np.random.default_rng(0).permutation(np.arange(known, rows))
    return [
        http_request(
            "POST",
            "/v1/cold-start",
            json.dumps(
                {"streamer_id": name_of(row), "space": "als", "neighbours": 10, "users": 100}
            ).encode(),
        )
        for row in drawn.tolist()
    ]


def hand_over(path: Path, rows: int, known: int, users: int, dim: int) -> None:
    """Write an archive whose vectors follow from content, with noise and norms of their own."""
    content, draw = vectors_of(rows)[:known], np.random.default_rng(7)
    vectors = content @ draw.normal(size=(content.shape[1], dim)).astype(np.float32)
    vectors += 0.5 * draw.normal(size=vectors.shape).astype(np.float32) * vectors.std()
    crowd = draw.normal(size=(users, dim)) * draw.lognormal(0, 0.5, (users, 1))
    with path.open("wb") as file:
        np.savez(
            file,
            ids=np.array([name_of(row) for row in range(known)]),
            vectors=vectors,
            interactions=draw.integers(10, 1000, known).astype(np.float32),
            user_ids=np.array([f"user-{row}" for row in range(users)]),
            user_vectors=crowd.astype(np.float32),
        )


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.cold_start")
    parser.add_argument("--build", type=Path, default=Path("build/scale"))
    parser.add_argument("--streamers", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10, help="of each part of a round")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    rows, known = args.streamers, round((1 - _NEW) * args.streamers)
    bundle, data = prepared(args.build, rows)  # a copy of it is written to
    figures: dict[str, list[float]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        Service(bundle, Path(shutil.copytree(data, Path(folder) / "data"))) as service,
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
    ):
        wait_for(service, rows)
        print(f"grouped after {wait_until_grouped(service.api):.0f} s", flush=True)
        port = urlsplit(service.url).port or 0
        archive = Path(folder) / "generation.npz"
        hand_over(archive, rows, known, args.users, args.dim)
        begin = time.perf_counter()
        with archive.open("rb") as file:
            answer = httpx.put(
                f"{service.url}/v1/spaces/als/generations/one?promote=true",
                content=iter(lambda: file.read(1 << 20), b""),
                headers={"Content-Type": "application/x-npz"},
                timeout=600,
            )
        assert answer.status_code < 300, answer.text
        print(f"handed over and served after {time.perf_counter() - begin:.1f} s", flush=True)
        print(f"idle after {until_idle(service):.0f} s more", flush=True)
        new, floor = questions(rows, known), [http_request("GET", "/livez", b"")]
        asked(port, new, 2)
        for _ in range(args.rounds):
            until_idle(service)  # the groups and the index of what the round before loaded
            for name, requests in (("floor", floor), ("quiet", new), ("bulk", new)):
                work = pool.submit(bulk, port, args.seconds) if name == "bulk" else None
                before = cpu_s(service)
                took = asked(port, requests, args.seconds)
                spent = 1000 * (cpu_s(service) - before) / len(took)
                beside = f"; beside {work.result():,.0f} lines/s" if work else ""
                p50, p99 = np.percentile(took, [50, 99]).tolist()
                figures.setdefault(f"{name} p50", []).append(p50)
                figures.setdefault(f"{name} p99", []).append(p99)
                if name != "bulk":
                    figures.setdefault(f"{name} CPU", []).append(spent)
                print(
                    f"{name}: {len(took):,}, p50 {p50:.2f}, p99 {p99:.2f} ms, CPU of the service "
                    f"{spent:.2f} ms an answer{beside}",
                    flush=True,
                )
    missed = False
    for name, values in figures.items():
        median, target = statistics.median(values), TARGETS.get(name)
        missed |= target is not None and median > target
        told = "" if target is None else f" (target {target:g})"
        print(f"{name}: {median:.2f} ms{told}, of {', '.join(f'{v:.2f}' for v in values)}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
