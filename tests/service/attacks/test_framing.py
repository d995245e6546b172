"""Requests whose end, headers or kind others would read differently: nothing is smuggled in."""

import pytest

from tests.service.attacks.raw import exchange, request
from tests.service.process import Service

pytestmark = pytest.mark.slow

INNER = request("DELETE", "/v1/streamers/kept")
BEHIND = request("GET", "/v1/streamers/behind", "Connection: close")
JSON = "Content-Type: application/json"
LENGTH = f"Content-Length: {len(INNER)}"
CHUNKED = "Transfer-Encoding: chunked"


@pytest.fixture(autouse=True)
def kept(keyless: Service):
    """A streamer that must survive."""
    keyless.put("kept", tags=["music"])
    yield
    assert keyless.client.delete("/v1/streamers/kept").status_code == 200
    assert keyless.client.get("/v1/streamers").json()["streamers"] == []


def assert_refused(service: Service, content: bytes) -> None:
    """The first request is refused, and nothing behind it is read."""
    (answer,) = exchange(service, content)
    assert answer.status == 400, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    assert answer.json["code"] == "malformed_request"


def post(*headers: str) -> bytes:
    return request("POST", "/v1/similar", JSON, *headers)


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 5", CHUNKED),
        (CHUNKED, "Content-Length: 5"),
        (LENGTH, CHUNKED),
        ("Content-Length: 0", LENGTH),
        (LENGTH, LENGTH),
        (f"Content-Length: 0, {len(INNER)}",),
        *(
            (f"Content-Length: {value}",)
            for value in (
                *("", "+5", "-1", "5 5", "0x5", "5_0", "1e1", "5;", "5.0", "\xb2", "five"),
                *("\x0b5", "99999999999999999999999", "18446744073709551616"),
            )
        ),
        *(
            (f"Transfer-Encoding: {value}",)
            for value in (
                *("chunked, identity", "identity", "xchunked", "chunked, chunked", "gzip"),
                *('"chunked"', "chunked;q=1", "\x0bchunked", "chunked\x0b", "chunked,", "ch\x00"),
            )
        ),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
        ("Transfer-Encoding : chunked",),
        ("Transfer-Encoding\t: chunked",),
        ("Transfer-Encoding\x00: chunked",),
        ("Transfer-Encoding:\r\n chunked",),
        ("Content-Length:\r\n 5",),
        ("Content-Length : 5",),
        ("X: a\r\n Content-Length: 5",),
        (" Content-Length: 5",),
        ("X: a\nContent-Length: 5",),
        ("X: a\rContent-Length: 5",),
        ("X: a\x00b",),
        ("X\x00: a",),
        ("X",),
        (": a",),
        ("X Y: a",),
        ("X(: a",),
    ],
)
def test_a_header_that_others_may_read_differently(
    keyless: Service, headers: tuple[str, ...]
) -> None:
    assert_refused(keyless, post(*headers) + b"0\r\n\r\n" + INNER + BEHIND)


@pytest.mark.parametrize(
    "chunks",
    [
        *(b"%s\r\n{}\r\n0\r\n\r\n" % size for size in (b"-2", b"+2", b"0x2", b"2_0", b" 2", b"g")),
        *(b"%s\r\n{}\r\n0\r\n\r\n" % size for size in (b"", b"2 2", b"\x002", b"2\x00")),
        b"ffffffffffffffff2\r\n{}\r\n0\r\n\r\n",
        b"10000000000000002\r\n{}\r\n0\r\n\r\n",
        b"2\r\n{}0\r\n\r\n",
        b"2\r\n{}}\r\n0\r\n\r\n",
        b"2\n{}\r\n0\r\n\r\n",
        b"2\r{}\r\n0\r\n\r\n",
        b"2\r\n{}\n0\r\n\r\n",
        b"2;a\nb\r\n{}\r\n0\r\n\r\n",
        b"2;a=\x00\r\n{}\r\n0\r\n\r\n",
    ],
)
def test_chunks_that_others_may_read_differently(keyless: Service, chunks: bytes) -> None:
    assert_refused(keyless, post(CHUNKED) + chunks + INNER + BEHIND)


@pytest.mark.parametrize(
    "line",
    [
        b"GET /v1/streamers",
        b"GET /v1/streamers HTTP/1.1 ",
        b"GET\t/v1/streamers\tHTTP/1.1",
        b"GET /v1/streamers HTTP/1.2",
        b"GET /v1/streamers HTTP/9.9",
        b"GET /v1/streamers http/1.1",
        b"GET /v1/streamers HTTP/01.1",
        b"GET /v1/\xff HTTP/1.1",
        b"GET /v1/\x00 HTTP/1.1",
        b"GET v1/streamers HTTP/1.1",
        b"get /v1/streamers HTTP/1.1",
        b"GARBAGE /v1/streamers HTTP/1.1",
        b"CONNECT localhost:80 HTTP/1.1",
        b"GET /v1/streamers HTTP/0.9",
        b"GET /v1/streamers HTTP/2.0",
        b"PRI * HTTP/2.0\r\n\r\nSM",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"*1\r\n$4\r\nPING",  # Redis
    ],
)
def test_what_is_no_request_of_http_1_1(keyless: Service, line: bytes) -> None:
    assert_refused(keyless, line + b"\r\nHost: localhost\r\n\r\n" + INNER)


@pytest.mark.parametrize("name", ["Host", "Content-Type", "Origin", "Authorization"])
def test_a_header_that_counts_comes_once(keyless: Service, name: str) -> None:
    values = {"Host": "localhost", "Content-Type": "application/json"}
    line = f"{name}: {values.get(name, 'http://localhost')}"
    content = request("PUT", "/v1/streamers/behind", JSON, line, line, body=b"{}")
    refused, behind = exchange(keyless, content + BEHIND)
    assert (refused.status, refused.json["code"]) == (400, "malformed_request")
    assert f"the header {name.lower()} came more than once" in refused.json["detail"]
    assert behind.status == 404


@pytest.mark.parametrize("keys", [("a", "a"), ("a", "b"), ('"a", "b"',), ("a\xe9",)])
def test_a_key_of_a_write_comes_once(keyless: Service, keys: tuple[str, ...]) -> None:
    lines = [f"Idempotency-Key: {key}" for key in keys]
    content = request("PUT", "/v1/streamers/behind", JSON, *lines, body=b"{}")
    refused, behind = exchange(keyless, content + BEHIND)
    assert (refused.status, refused.json["code"]) == (400, "malformed_request")
    assert behind.status == 404


def test_chunk_extensions_and_trailers_mean_nothing(keyless: Service) -> None:
    head = request("PUT", "/v1/streamers/behind", JSON, CHUNKED)
    trailers = b"Host: evil.example\r\nContent-Type: a/b\r\nAuthorization: Bearer x\r\n"
    chunks = b'2;a="b;c"\r\n{}\r\n0;d\r\n' + trailers + b"\r\n"
    written, read = exchange(keyless, head + chunks + BEHIND)
    assert (written.status, read.status) == (201, 200)
    assert keyless.client.delete("/v1/streamers/behind").status_code == 200


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_body_of_a_get_is_no_request(keyless: Service, version: bytes) -> None:
    head = b"GET /v1/streamers HTTP/%s\r\nHost: localhost\r\n%s\r\nConnection: close\r\n\r\n"
    (answer,) = exchange(keyless, head % (version, LENGTH.encode()) + INNER)
    assert answer.status == 200


def test_who_asks_by_http_1_0_gets_one_answer(keyless: Service) -> None:
    (answer,) = exchange(keyless, b"GET /v1/streamers HTTP/1.0\r\n\r\n" + INNER)
    assert (answer.status, answer.headers["connection"]) == (200, "close")


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "x-gzip", "identity, gzip"])
def test_compressed_bodies_are_refused(keyless: Service, encoding: str) -> None:
    for path, kind in (
        ("/v1/streamers/behind", "application/json"),
        ("/v1/streamers:bulk", "application/x-ndjson"),
        ("/v1/jobs/imports", "application/x-ndjson"),
    ):
        method = "PUT" if path.endswith("behind") else "POST"
        headers = {"Content-Type": kind, "Content-Encoding": encoding}
        answer = keyless.client.request(method, path, content=b"\x1f\x8b\n", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
        assert "without Content-Encoding" in answer.json()["detail"]


def test_a_websocket_is_not_opened(keyless: Service) -> None:
    headers = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    content = request("GET", "/v1/streamers", *headers, "Sec-WebSocket-Key: dGhlIHNhbXBsZQ==")
    (answer,) = exchange(keyless, content + INNER)
    assert answer.status == 200


def test_what_is_no_http_fills_no_log(keyless: Service) -> None:
    before = len(keyless.output)
    for _ in range(20):
        exchange(keyless, b"rubbish\r\n\r\n")
    test_a_websocket_is_not_opened(keyless)
    assert len(keyless.output) == before
