"""A lean client: connections that are kept, and one request after the other on each.

    python -m tests.benchmarks.http_load --port 8000 --seconds 3 --connections 16 < PATHS

A process of its own, so that the client's work is not in the server's interpreter; it prints JSON:
requests a second, and latencies in milliseconds.
"""

import argparse
import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import uvloop

_LENGTH = b"content-length: "


class _Connection(asyncio.Protocol):
    def __init__(self, requests: Iterator[bytes], until: float) -> None:
        self._requests = requests
        self._until = until
        self._answer = b""
        self._sent = 0.0
        self.done = asyncio.get_running_loop().create_future()
        self.took: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or RuntimeError("the server closed the connection"))

    def _ask(self) -> None:
        self._sent = time.perf_counter()
        if self._sent > self._until:
            self._transport.close()
            self.done.set_result(None)
        else:
            self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        self._answer += data
        end = self._answer.find(b"\r\n\r\n")
        if end < 0:
            return
        if not self._answer.startswith(b"HTTP/1.1 200"):
            self._transport.close()
            self.done.set_exception(RuntimeError(self._answer.decode()))
            return
        at = self._answer.lower().index(_LENGTH, 0, end) + len(_LENGTH)
        length = int(self._answer[at : self._answer.index(b"\r\n", at)])
        if len(self._answer) >= end + 4 + length:
            self.took.append(time.perf_counter() - self._sent)
            self._answer = b""
            self._ask()


async def load(port: int, paths: Sequence[str], seconds: float, connections: int) -> list[float]:
    """How long each request took, in seconds."""
    head = " HTTP/1.1\r\nHost: localhost\r\n\r\n"
    requests = itertools.cycle([f"GET {path}{head}".encode() for path in paths])
    until = time.perf_counter() + seconds
    loop = asyncio.get_running_loop()
    opened = [
        await loop.create_connection(lambda: _Connection(requests, until), "127.0.0.1", port)
        for _ in range(connections)
    ]
    await asyncio.gather(*(connection.done for _, connection in opened))
    return [each for _, connection in opened for each in connection.took]


def main() -> int:
    """Print what was measured."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.http_load", description=__doc__
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--connections", type=int, default=16)
    args = parser.parse_args()
    paths = sys.stdin.read().split()
    begin = time.perf_counter()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        took = runner.run(load(args.port, paths, args.seconds, args.connections))
    spent = time.perf_counter() - begin
    p50, p99 = np.quantile(np.array(took) * 1000, [0.5, 0.99]).tolist()
    print(json.dumps({"rate": len(took) / spent, "p50_ms": p50, "p99_ms": p99}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
