"""Interactive questions with and without a bulk load, or cold starts, beside them.

    python -m tests.benchmarks.mixed_load --build build/scale

Questions come at a fixed rate: half of them lean, half with a profile. Rounds of all three take
turns; the medians count. The clients share the cores with the service. The exit status is 1 when a
target is missed.
"""

import argparse
import itertools
import json
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from urllib.parse import urlsplit

from tests.benchmarks.closed_loop import http_request, load
from tests.benchmarks.index_http import wait_for
from tests.benchmarks.open_loop import Generator
from tests.benchmarks.overload import encoding_questions, lean_questions, profiles
from tests.benchmarks.stored import prepared
from tests.support.service import Service

_ROWS = 10_000
_SLOWER = 2.5
_SHARE = 0.15
"""Of the capacity."""


def bulk(port: int, seconds: float) -> float:
    """Write profiles, 500 in a request, one request after the other; lines a second."""
    made, lines = profiles(2000), 0
    begin = time.perf_counter()
    numbers = itertools.count()
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        while time.perf_counter() - begin < seconds:
            ids = itertools.islice(numbers, 500)
            body = b"".join(
                json.dumps({"streamer_id": f"bulk-{i}", **made[i % len(made)]}).encode() + b"\n"
                for i in ids
            )
            connection.sendall(
                b"POST /v1/streamers:bulk HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n" % len(body)
            )
            connection.sendall(body)
            answer = b""
            while not answer.endswith(b"\r\n0\r\n\r\n"):
                answer += connection.recv(1 << 20)
            lines += answer.count(b'"outcome":"created"') + answer.count(b'"outcome":"updated"')
    return lines / (time.perf_counter() - begin)


def cold_starts(port: int, seconds: float) -> float:
    """Ask for cold starts, one after the other; how many a second."""
    requests = [
        http_request("POST", "/v1/cold-start", json.dumps({"profile": profile}).encode())
        for profile in profiles(50)
    ]
    asked, begin = 0, time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        while time.perf_counter() - begin < seconds:
            connection.sendall(requests[asked % len(requests)])
            answer = connection.recv(1 << 20)
            while not answer.endswith(b"}"):
                answer += connection.recv(1 << 20)
            asked += 1
    return asked / (time.perf_counter() - begin)


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.mixed_load")
    parser.add_argument("--build", type=Path, default=Path("build/scale"))
    parser.add_argument("--seconds", type=float, default=10, help="of each part of a round")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    bundle, data = prepared(args.build, _ROWS)  # a copy of it is written to
    lean, encoding = lean_questions(2000), encoding_questions(2000)
    asked = [one for both in zip(lean, encoding, strict=True) for one in both]
    others: dict[str, Callable[[int, float], float] | None]
    others = {"alone": None, "bulk": bulk, "cold start": cold_starts}
    p99: dict[str, list[float]] = {name: [] for name in others}
    with (
        tempfile.TemporaryDirectory() as folder,
        Service(bundle, Path(shutil.copytree(data, Path(folder) / "data"))) as service,
        Generator() as generator,
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
    ):
        wait_for(service, _ROWS)
        port = urlsplit(service.url).port or 0
        rate = _SHARE * max(load(port, asked[:2000]).rate for _ in range(2))
        for _ in range(args.rounds):
            for name, beside in others.items():
                work = None if beside is None else pool.submit(beside, port, args.seconds)
                found = generator.send(port, asked, rate, args.seconds).result()
                done = 0.0 if work is None else work.result()
                p99[name].append(found.ms(0.99))
                refused = 1 - float(found.accepted.mean())
                print(
                    f"{name}: {rate:,.0f} questions/s, p50 {found.ms(0.5):.1f}, "
                    f"p99 {found.ms(0.99):.1f} ms, {refused:.1%} refused; beside {done:,.0f}/s",
                    flush=True,
                )
    alone = statistics.median(p99["alone"])
    missed = False
    for name in ("bulk", "cold start"):
        ratio = statistics.median(p99[name]) / alone
        missed |= ratio > _SLOWER
        print(f"p99 with {name}: {ratio:.2f} x (target {_SLOWER})")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
