"""A load generator: connections that each send the next request when the answer is there.

In a process of its own and without a client library, so that what is measured is the server.
"""

import asyncio
import multiprocessing
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import uvloop

Protocol = Literal["http", "redis"]
_TIMEOUT_S = 300


@dataclass(frozen=True)
class Load:
    """What came of it.

    Attributes:
        answers: what was answered to each request; of HTTP the body.
        took_s: seconds of each request.
        whole_s: seconds of all of them.
    """

    answers: list[bytes]
    took_s: list[float]
    whole_s: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.answers) / self.whole_s

    def ms(self, quantile: float) -> float:
        """Milliseconds that such a share of the requests took at most."""
        return float(np.quantile(self.took_s, quantile)) * 1000


def load(
    port: int, requests: Sequence[bytes], *, connections: int = 16, protocol: Protocol = "http"
) -> Load:
    """Send all requests to a port of this machine, in another process.

    Raises:
        RuntimeError: an answer is no success, or a connection was closed.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_load, port, list(requests), connections, protocol).result(_TIMEOUT_S)


def ask(port: int, request: bytes, *, protocol: Protocol = "http") -> bytes:
    """The answer to one request, over a connection of its own.

    Raises:
        OSError: nobody listens, or the connection was closed.
        RuntimeError: it is no success.
    """
    parse = _http_answer if protocol == "http" else _redis_answer
    data = b""
    with socket.create_connection(("127.0.0.1", port), _TIMEOUT_S) as connection:
        connection.sendall(request)
        while (answer := parse(data)) is None:
            part = connection.recv(1 << 20)
            if not part:
                raise ConnectionError("the connection was closed")
            data += part
    return answer


def http_request(method: str, path: str, body: bytes = b"", *, headers: str = "") -> bytes:
    """A request of HTTP/1.1 that keeps the connection; `headers` are more lines with their ends."""
    content = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}{content}\r\n".encode() + body


def redis_request(*arguments: bytes) -> bytes:
    """A command of Redis."""
    parts = [b"$%d\r\n%s\r\n" % (len(a), a) for a in arguments]
    return b"*%d\r\n" % len(arguments) + b"".join(parts)


def _http_answer(data: bytes) -> bytes | None:
    """The body, once all of it is there."""
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        return None
    first, *headers = head.split(b"\r\n")
    fields = dict(h.lower().split(b": ", 1) for h in headers)
    if len(body) < int(fields.get(b"content-length", b"0")):
        return None
    if not first.startswith(b"HTTP/1.1 2"):
        raise RuntimeError(f"{first.decode()}: {body.decode()}")
    return body


def _redis_answer(data: bytes) -> bytes | None:
    """A whole array of strings without line ends."""
    if data.startswith(b"-"):
        raise RuntimeError(data.decode())
    lines = data.split(b"\r\n")
    is_whole = len(lines) > 1 and len(lines) == 2 * int(lines[0][1:]) + 2
    return data if is_whole else None


class _Connection(asyncio.Protocol):
    def __init__(self, run: "_Run") -> None:
        self.run = run
        self.data = b""
        self.number = 0
        self.begin = 0.0
        self.is_done = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.send()

    def send(self) -> None:
        found = next(self.run.left, None)
        if found is None:
            self.is_done = True
            self.transport.close()
            return
        self.number, request = found
        self.begin = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.data += data
        try:
            answer = self.run.parse(self.data)
        except RuntimeError as error:
            self.run.end(error)
            return
        if answer is not None:
            self.data = b""
            self.run.took_s[self.number] = time.perf_counter() - self.begin
            self.run.answers[self.number] = answer
            self.run.unanswered -= 1
            if self.run.unanswered == 0:
                self.run.end()
            self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.is_done:
            self.run.end(RuntimeError(f"a connection was closed: {exc}"))


class _Run:
    def __init__(self, requests: list[bytes], protocol: Protocol) -> None:
        self.left = iter(enumerate(requests))
        self.answers = [b""] * len(requests)
        self.took_s = [0.0] * len(requests)
        self.unanswered = len(requests)
        self.parse = _http_answer if protocol == "http" else _redis_answer
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(self, error: Exception | None = None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


def _load(port: int, requests: list[bytes], connections: int, protocol: Protocol) -> Load:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_send_all(port, requests, connections, protocol))


async def _send_all(port: int, requests: list[bytes], connections: int, protocol: Protocol) -> Load:
    run = _Run(requests, protocol)
    begin = time.perf_counter()
    for _ in range(min(connections, len(requests))):
        await asyncio.get_running_loop().create_connection(
            lambda: _Connection(run), "127.0.0.1", port
        )
    await run.done
    return Load(run.answers, run.took_s, time.perf_counter() - begin)
