"""What traces cost `GET /v1/streamers/{id}/similar`, in one run.

    python -m tests.benchmarks.trace_costs --rows 100000 --build build/scale

Two services over the same streamers, one without traces and one that records a share of them and
sends them to a collector of this run; one load generator for both (`closed_loop`), rounds of both
in turn. The exit status is 1 when the ratio's upper bound does not reach the target.
"""

import argparse
import contextlib
import itertools
import multiprocessing
import shutil
import statistics
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from service.maxima import MOST_UNITS
from tests.benchmarks.closed_loop import http_request, load
from tests.benchmarks.guard_costs import interval
from tests.benchmarks.index_http import wait_for
from tests.benchmarks.stored import name_of, prepared
from tests.support.service import Service

TARGET = 0.98


def collect(told: Connection) -> None:
    """Answer what comes, in a process of its own; what is told first is the port."""
    bodies = 0

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            nonlocal bodies
            self.rfile.read(int(self.headers["Content-Length"]))
            bodies += 1
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            answer = str(bodies).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.send(server.server_port)
    server.serve_forever()


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.trace_costs", description=__doc__
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--build", type=Path, default=Path("build/scale"))
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--requests", type=int, default=10_000, help="of a round")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--share", type=float, default=0.05, help="of the traces that are recorded")
    args = parser.parse_args()
    bundle, data = prepared(args.build, args.rows)
    rng = np.random.default_rng(3)
    asked = [
        http_request("GET", f"/v1/streamers/{name_of(i)}/similar")
        for i in rng.integers(args.rows, size=args.requests)
    ]
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    collector = context.Process(target=collect, args=(theirs,), daemon=True)
    collector.start()
    collector_port: int = mine.recv()
    variants = {
        "off": {},
        "on": {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector_port}",
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": str(args.share),
            "NO_PROXY": "127.0.0.1",
        },
    }
    rates: dict[str, list[float]] = {name: [] for name in variants}
    with contextlib.ExitStack() as stack:
        stack.callback(collector.terminate)
        ports: dict[str, int] = {}
        for name, variables in variants.items():
            copy = data.with_name(f"{data.name}-traces-{name}")
            if not copy.exists():
                shutil.copytree(data, copy)
            limits = {"STREAMER_RATE_LIMITS__SEARCH": str(MOST_UNITS)}
            service = stack.enter_context(Service(bundle, copy, **limits, **variables))
            wait_for(service, args.rows)
            ports[name] = urlsplit(service.url).port or 0
        names = list(variants)
        for order, _ in zip(itertools.cycle((names, names[::-1])), range(args.rounds + 1)):
            for name in order:
                rates[name].append(load(ports[name], asked, connections=args.connections).rate)
        (sent,) = load(collector_port, [http_request("GET", "/")], connections=1).answers
    assert int(sent) > 0, "no trace has come"
    ratios = [on / off for on, off in zip(rates["on"][1:], rates["off"][1:], strict=True)]
    low, high = interval(ratios)
    print("| traces | requests/s | of off | 95 % |")
    print("| --- | --- | --- | --- |")
    print(f"| off | {statistics.median(rates['off'][1:]):,.0f} | 1 | |")
    print(
        f"| {args.share:.0%} recorded | {statistics.median(rates['on'][1:]):,.0f} | "
        f"{statistics.median(ratios):.3f} | {low:.3f} to {high:.3f} |"
    )
    print(f"target: {TARGET}; exports: {int(sent)}")
    return int(high < TARGET)


if __name__ == "__main__":
    sys.exit(main())
