"""The service at 10,000 streamers, measured from outside: `make bench`.

Client and server share the machine's cores, as on a small one in production. Each figure is of one
run; repeat it before comparing two versions. The exit status is 1 when a target is missed.
"""

import argparse
import http.client
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from demo.errors import DemoError
from demo.profiles import Profile
from demo.serving import HOST, serving
from demo.steps import Steps, build, make_world, run

MIB = 1 << 20


@dataclass(frozen=True)
class Figure:
    """One measured value, with what it must reach where that is agreed."""

    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def missed(self) -> bool:
        """Whether the target was not reached."""
        too_much = self.at_most is not None and self.value > self.at_most
        return too_much or (self.at_least is not None and self.value < self.at_least)

    def __str__(self) -> str:
        """A row of the table."""
        target = "" if self.at_most is None else f"<= {self.at_most:g}"
        target = target if self.at_least is None else f">= {self.at_least:g}"
        mark = "MISSED" if self.missed else ""
        return f"{self.name:<44} {self.value:>9.1f} {self.unit:<6} {target:<8} {mark}".rstrip()


class Client:
    """One kept-alive connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(HOST, port, timeout=30)

    def ask(self, method: str, path: str, body: object | None = None) -> bytes:
        """The answer's body; anything but success ends the benchmark."""
        encoded = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if encoded else {}
        self._connection.request(method, path, encoded, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"{method} {path}: {answer.status} {content.decode()}")
        return content


def latencies_ms(calls: Sequence[Callable[[], object]]) -> list[float]:
    """Milliseconds of each call, one after the other."""
    found = []
    for call in calls:
        started = time.perf_counter()
        call()
        found.append((time.perf_counter() - started) * 1000)
    return found


def quantiles(name: str, found: list[float], p50_at_most: float | None = None) -> list[Figure]:
    """Median and 99th percentile of latencies."""
    p99 = statistics.quantiles(found, n=100)[98]
    return [
        Figure(f"{name}, p50", statistics.median(found), "ms", at_most=p50_at_most),
        Figure(f"{name}, p99", p99, "ms"),
    ]


def throughput(port: int, paths: Sequence[str], connections: int) -> float:
    """Requests a second over several connections, each with its own thread."""

    def worker(part: Sequence[str]) -> None:
        client = Client(port)
        for path in part:
            client.ask("GET", path)

    started = time.perf_counter()
    with ThreadPoolExecutor(connections) as pool:
        for future in [pool.submit(worker, paths[i::connections]) for i in range(connections)]:
            future.result()
    return len(paths) / (time.perf_counter() - started)


def measure_requests(port: int, requests: int) -> list[Figure]:
    """Latencies and throughput of a loaded service."""
    client = Client(port)
    page = json.loads(client.ask("GET", f"/v1/streamers?limit={requests}"))["streamers"]
    chosen: list[Profile] = [s["profile"] for s in page if s["status"] == "indexed"]
    similar = [f"/v1/streamers/{p['streamer_id']}/similar?k=10" for p in chosen]
    latencies_ms([lambda path=path: client.ask("GET", path) for path in similar[:50]])  # warm up
    reads = latencies_ms([lambda path=path: client.ask("GET", path) for path in similar])
    explained = latencies_ms(
        [lambda path=path: client.ask("GET", path + "&explain=true") for path in similar[:200]]
    )

    def content(profile: Profile) -> Profile:
        kept = {key: value for key, value in profile.items() if key != "streamer_id"}
        return kept | {"name": f"{profile.get('name', '')} again"}

    writes = latencies_ms(
        [
            lambda p=p: client.ask("PUT", f"/v1/streamers/{p['streamer_id']}", content(p))
            for p in chosen[: requests // 2]
        ]
    )
    return [
        *quantiles("similar by id, one client", reads, p50_at_most=5),
        *quantiles("similar by id, explained, one client", explained),
        Figure("similar by id, 8 connections", throughput(port, similar, 8), "req/s"),
        *quantiles("PUT, encoded and on disk, one client", writes),
    ]


def benchmark(folder: Path, streamers: int, port: int, requests: int) -> list[Figure]:
    """Everything, on a world and an encoder that are kept in `folder`, and a new store."""
    folder.mkdir(parents=True, exist_ok=True)
    steps = Steps(folder)
    data = make_world(steps, streamers)
    build(steps, data)
    with tempfile.TemporaryDirectory(prefix="state-", dir=folder) as state:
        return measure(folder, data, Path(state), port, requests)


def measure(folder: Path, data: Path, state: Path, port: int, requests: int) -> list[Figure]:
    """Load into an empty store, start again from what is stored, and ask."""
    bundle, log = folder / "bundle", folder / "service.log"
    with serving(bundle, state, port, log) as service:
        started = time.perf_counter()
        run("service", "load", data, "--url", service.url)
        load_s = time.perf_counter() - started
    started = time.perf_counter()
    with serving(bundle, state, port, log) as service:
        ready_s = time.perf_counter() - started
        answers = measure_requests(port, requests)
        process = psutil.Process(service.process.pid)
        own = process.memory_info().rss
        store = sum(child.memory_info().rss for child in process.children(recursive=True))
        stored = service.ask("GET", "/readyz")["index_rows"]
    return [
        Figure("load", stored / load_s, "1/s", at_least=300),
        Figure("ready from a stored state", ready_s, "s", at_most=3),
        *answers,
        Figure("memory of the service", own / MIB, "MiB", at_most=400),
        Figure("memory of its store", store / MIB, "MiB"),
    ]


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--streamers", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--port", type=int, default=8017)
    parser.add_argument("--build", type=Path, default=Path("build/bench"))
    args = parser.parse_args()
    try:
        figures = benchmark(args.build, args.streamers, args.port, args.requests)
    except DemoError as error:
        sys.stderr.write(f"python -m tests.benchmarks: {error}\n")
        return 1
    print(f"\n{args.streamers} streamers, {psutil.cpu_count()} cores\n")
    print("\n".join(map(str, figures)))
    return int(any(figure.missed for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
