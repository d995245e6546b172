"""What a connection refuses while too many requests come, over real sockets."""

import asyncio
import http.client
import json
import socket
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Receive, Scope, Send

from service.http.admission import Admission
from service.http.lifecycle import Lifecycle
from service.http.server import HttpServer
from service.settings import Server
from tests.service.process import START_S

NOBODY = -1e6
"""A limit that the clock does not raise to one request within a test."""
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
BODY = b'{"positive": [{"streamer_id": "s"}]}'
Ask = Callable[[http.client.HTTPConnection], None]


def served(ask: Callable[[Lifecycle, int], Awaitable[None]]) -> list[str]:
    """The paths that the application saw while `ask` was at work."""
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["path"])
        while (await receive()).get("more_body"):
            pass
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{}"})

    async def run() -> None:
        lifecycle = Lifecycle()
        lifecycle.limiter._tick = lambda: None  # a late one would let some in again
        admission = Admission(app, limiter=lifecycle.limiter, traffic=lifecycle.traffic)
        lifecycle.serve(admission, {})
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = HttpServer(lifecycle, Server(), 16, "warning")
            async with server.listening(listener):
                await ask(lifecycle, listener.getsockname()[1])

    asyncio.run(run())
    return seen


def in_thread(ask: Ask) -> Callable[[int], Awaitable[None]]:
    """Blocking requests on one connection."""

    def work(port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_S)
        try:
            ask(connection)
        finally:
            connection.close()

    return lambda port: asyncio.to_thread(work, port)


def status_of(connection: http.client.HTTPConnection, method: str, path: str) -> int:
    connection.request(method, path, body=BODY if method == "POST" else None)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status == 503:
        problem = json.loads(content)
        assert problem["code"] == "overloaded"
        assert problem["request_id"] == answer.headers["X-Request-Id"]
        assert answer.headers["Retry-After"] == "1"
        assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.status


def test_a_refused_request_leaves_its_connection_in_order() -> None:
    """Bodies of refused requests are dropped, and what comes after them is read as a request."""

    async def ask(lifecycle: Lifecycle, port: int) -> None:
        work = lifecycle.limiter._work

        def requests(connection: http.client.HTTPConnection) -> None:
            assert status_of(connection, "POST", "/v1/similar") == 200
            work.limit = NOBODY
            opened = connection.sock
            for _ in range(3):
                assert status_of(connection, "POST", "/v1/similar") == 503
                assert status_of(connection, "GET", "/readyz") == 200
                assert status_of(connection, "GET", "/v1/streamers/s/similar") == 200
            connection.putrequest("POST", "/v1/similar")
            connection.putheader("Content-Length", "100000")
            connection.endheaders()
            connection.send(b"x" * 50_000)
            answer = connection.getresponse()
            assert (answer.status, json.loads(answer.read())["code"]) == (503, "overloaded")
            connection.sock.sendall(b"x" * 50_000)
            work.limit = 16
            assert status_of(connection, "POST", "/v1/similar") == 200
            assert connection.sock is opened

        await in_thread(requests)(port)
        assert work.newest.running + work.older.running == 0

    seen = served(ask)
    assert seen.count("/v1/similar") == 2


def test_pipelined_requests_are_answered_in_order() -> None:
    async def ask(lifecycle: Lifecycle, port: int) -> None:
        lifecycle.limiter._work.limit = NOBODY
        post = b"POST /v1/similar HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
        get = b"GET /v1/streamers/s/similar HTTP/1.1\r\nHost: x\r\n\r\n"
        last = b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

        def requests() -> bytes:
            with socket.create_connection(("127.0.0.1", port), START_S) as connection:
                connection.sendall(get + post + post + get + post + last)
                answer = b""
                while part := connection.recv(1 << 16):
                    answer += part
            return answer

        answer = await asyncio.to_thread(requests)
        statuses = [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]]
        assert statuses == [b"200", b"503", b"503", b"200", b"503", b"200"]

    served(ask)


def test_who_wants_no_more_gets_an_end() -> None:
    async def ask(lifecycle: Lifecycle, port: int) -> None:
        lifecycle.limiter._reads.limit = NOBODY

        def requests(connection: http.client.HTTPConnection) -> None:
            headers = {
                "Connection": "close",
                "X-Request-Id": "asked-for",
                "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01",
            }
            connection.request("GET", "/v1/streamers", headers=headers)
            answer = connection.getresponse()
            assert (answer.status, answer.headers["Connection"]) == (503, "close")
            problem = json.loads(answer.read())
            assert problem["code"] == "overloaded"
            assert problem["request_id"] == answer.headers["X-Request-Id"] == "asked-for"
            assert problem["trace_id"] == TRACE

        await in_thread(requests)(port)

    served(ask)


def test_a_refused_head_has_no_body() -> None:
    async def ask(lifecycle: Lifecycle, port: int) -> None:
        lifecycle.limiter._reads.limit = NOBODY

        def requests(connection: http.client.HTTPConnection) -> None:
            for _ in range(2):  # a body of the first would be read as the second answer
                connection.request("HEAD", "/v1/streamers")
                answer = connection.getresponse()
                assert (answer.status, answer.read()) == (503, b"")

        await in_thread(requests)(port)

    served(ask)


def test_a_client_that_sends_very_many_requests_ahead_is_cut_off() -> None:
    """Each of them would take memory, and a client that reads nothing is never answered."""
    flood = b"GET /v1/streamers/s/similar HTTP/1.1\r\nHost: x\r\n\r\n" * 200_000

    async def ask(lifecycle: Lifecycle, port: int) -> None:
        def requests() -> None:
            with (
                socket.create_connection(("127.0.0.1", port), START_S) as connection,
                pytest.raises(OSError, match=r"reset|pipe"),
            ):
                connection.sendall(flood)
            with socket.create_connection(("127.0.0.1", port), START_S) as connection:
                connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
                assert connection.recv(1 << 10).startswith(b"HTTP/1.1 200")

        await asyncio.to_thread(requests)

    assert len(served(ask)) < 10_000
