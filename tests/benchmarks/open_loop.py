"""An open-loop load generator: requests are sent when they are due, whoever was answered before.

In a process of its own. The time of a request counts from the moment it was due, so that a client
who has to wait for a connection is not left out.
"""

import asyncio
import math
import multiprocessing
import socket
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import cast

import numpy as np
import uvloop
from numpy.typing import NDArray

from tests.benchmarks.closed_loop import http_request

_GRACE_S = 30
_STEP_S = 0.001
_PROBE = http_request("GET", "/livez")


@dataclass(frozen=True, eq=False)
class Arrivals:
    """What became of requests that came at a fixed rate.

    Attributes:
        status: of each, 0 if none came.
        due_s: when each was due, since the first.
        took_s: seconds from then to the answer.
        retry_after: whether the answer names a time to come again.
        whole_s: for how long they came.
    """

    status: NDArray[np.int64]
    due_s: NDArray[np.float64]
    took_s: NDArray[np.float64]
    retry_after: NDArray[np.bool_]
    whole_s: float

    @property
    def accepted(self) -> NDArray[np.bool_]:
        """Which were answered."""
        return self.status == 200

    @property
    def goodput(self) -> float:
        """Answers a second, of those that came before the last request was due."""
        in_time = self.due_s + self.took_s <= self.whole_s
        return float((self.accepted & in_time).sum()) / self.whole_s

    def ms(self, quantile: float) -> float:
        """Milliseconds that such a share of the answers took at most."""
        return float(np.quantile(self.took_s[self.accepted], quantile)) * 1000


class Generator:
    """A process that sends requests."""

    def __init__(self) -> None:
        self._pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))

    def __enter__(self) -> "Generator":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def send(
        self, port: int, requests: Sequence[bytes], rate: float, seconds: float, *, most: int = 512
    ) -> "Future[Arrivals]":
        """Send requests, in turn, at a rate a second, over `most` connections at most."""
        return self._pool.submit(_send, port, list(requests), rate, seconds, most)

    def probe(self, port: int, path: str, seconds: float) -> "Future[list[float]]":
        """Ask a path every 50 ms over one connection; the seconds that each answer took."""
        return self._pool.submit(_probe, port, path, seconds)


def _probe(port: int, path: str, seconds: float) -> list[float]:
    took: list[float] = []
    end = time.perf_counter() + seconds
    request = http_request("GET", path)
    with socket.create_connection(("127.0.0.1", port), _GRACE_S) as connection:
        while time.perf_counter() < end:
            begin = time.perf_counter()
            connection.sendall(request)
            answer = connection.recv(1 << 16)
            while not answer.endswith(b"}"):
                answer += connection.recv(1 << 16)
            took.append(time.perf_counter() - begin)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"{path}: {answer[:200]!r}")
            time.sleep(0.05)
    return took


def _send(port: int, requests: list[bytes], rate: float, seconds: float, most: int) -> Arrivals:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Run(port, requests, rate, seconds, most).run())


class _Connection(asyncio.Protocol):
    def __init__(self, run: "_Run") -> None:
        self.run = run
        self.data = b""
        self.number = -1
        self.accepted = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.data += data
        head, found, body = self.data.partition(b"\r\n\r\n")
        if not found:
            return
        at = head.find(b"ontent-length: ") + 15
        end = head.find(b"\r\n", at)
        if len(body) < int(head[at : end if end > 0 else None]):
            return
        self.data, status = b"", int(head[9:12])
        if not self.accepted.done():
            self.accepted.set_result(None)
            return
        self.run.answered(self, status, status != 200 and b"retry-after:" in head.lower())

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.accepted.done():
            self.accepted.set_exception(exc or ConnectionResetError())
        self.run.lost(self)


class _Run:
    def __init__(
        self, port: int, requests: list[bytes], rate: float, seconds: float, most: int
    ) -> None:
        self.port = port
        self.requests = requests
        self.rate = rate
        self.most = most
        self.seconds = seconds
        self.count = int(rate * seconds)
        self.status = [0] * self.count  # lists: numpy's items are slow
        self.took = [math.inf] * self.count
        self.retry = [False] * self.count
        self.idle: list[_Connection] = []
        self.due: deque[int] = deque()
        self.left = self.count
        self.opened = 0
        self.begin = 0.0

    async def run(self) -> Arrivals:
        await asyncio.gather(*(self._open() for _ in range(min(self.most, 64))))
        self.begin = time.perf_counter()
        sent = 0
        while sent < self.count:
            now = time.perf_counter() - self.begin
            ready = min(self.count, int(now * self.rate) + 1)
            self.due.extend(range(sent, ready))
            sent = ready
            self._drain()
            if self.due and self.opened < self.most:
                self.opening = asyncio.ensure_future(self._open())
            await asyncio.sleep(_STEP_S)
        end = time.perf_counter() + _GRACE_S
        while self.left and time.perf_counter() < end:
            self._drain()
            await asyncio.sleep(_STEP_S)
        return Arrivals(
            np.array(self.status),
            np.arange(self.count) / self.rate,
            np.array(self.took),
            np.array(self.retry),
            self.seconds,
        )

    async def _open(self) -> None:
        """Open one more connection, and wait until it is accepted.

        A server may accept one in each turn of its event loop: the first requests over 64 new ones
        would wait for 64 turns.
        """
        self.opened += 1
        _, made = await asyncio.get_running_loop().create_connection(
            lambda: _Connection(self), "127.0.0.1", self.port
        )
        made.transport.write(_PROBE)
        await made.accepted
        self.idle.append(made)

    def _drain(self) -> None:
        while self.due and self.idle:
            connection, number = self.idle.pop(), self.due.popleft()
            connection.number = number
            connection.transport.write(self.requests[number % len(self.requests)])

    def answered(self, connection: _Connection, status: int, retry: bool) -> None:
        number = connection.number
        self.status[number] = status
        self.retry[number] = retry
        self.took[number] = time.perf_counter() - self.begin - number / self.rate
        self.left -= 1
        connection.number = -1
        self.idle.append(connection)
        self._drain()

    def lost(self, connection: _Connection) -> None:
        self.opened -= 1
        if connection.number >= 0:
            self.left -= 1
        elif connection in self.idle:
            self.idle.remove(connection)
