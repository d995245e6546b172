"""Connections: headers without an end, clients that let the service wait, too many of them."""

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.service.attacks.raw import connect
from tests.service.process import START_S, Service, run, wait_until

pytestmark = pytest.mark.slow

LIMIT = 64 << 10
DESCRIPTORS = 256
GET = b"GET /v1/streamers HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def service(keyless: Service) -> Service:
    return keyless


def answer(client: socket.socket) -> tuple[http.client.HTTPResponse, Any]:
    """The next answer on a connection, and its JSON; both name the request."""
    response = http.client.HTTPResponse(client)
    with response:
        response.begin()
        body = json.loads(response.read())
    if response.status >= 400:
        assert body["request_id"] == response.headers["X-Request-Id"]
    return response, body


def is_closed(client: socket.socket) -> bool:
    """Whether the service ends the connection without another byte."""
    with contextlib.suppress(ConnectionResetError):
        return client.recv(1) == b""
    return True


def send_while_it_listens(client: socket.socket, content: bytes) -> None:
    with contextlib.suppress(ConnectionError):  # refused before all of it was sent
        client.sendall(content)


def computed_s(service: Service) -> float:
    """Processor time of its process, which others do not lengthen."""
    times = psutil.Process(service.process.pid).cpu_times()
    return times.user + times.system


def header_of(size: int) -> bytes:
    return GET + b"X: " + b"x" * (size - len(GET) - 7) + b"\r\n\r\n"


@pytest.mark.parametrize("parts", [1, 50])
def test_a_header_up_to_the_limit(service: Service, parts: int) -> None:
    header = header_of(LIMIT)
    assert len(header) == LIMIT
    step = -(-LIMIT // parts)
    with connect(service) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for begin in range(0, LIMIT, step):
            client.sendall(header[begin : begin + step])
        response, body = answer(client)
        assert (response.status, body["streamers"]) == (200, [])
        client.sendall(header)  # and once more on the same connection
        assert answer(client)[0].status == 200


@pytest.mark.parametrize("path", ["/v1/streamers", "/readyz"])
def test_a_request_without_a_host(service: Service, path: str) -> None:
    with connect(service) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        response, body = answer(client)
        assert (response.status, body["code"]) == (400, "malformed_request")
        assert "send the header Host" in body["detail"]
    with connect(service) as client:
        client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        assert answer(client)[0].status == 200


@pytest.mark.parametrize("size", [LIMIT + 1, 1 << 20, 64 << 20])
def test_a_header_over_the_limit_is_refused_at_once(service: Service, size: int) -> None:
    before_s = computed_s(service)
    with connect(service) as client:
        send_while_it_listens(client, header_of(size))
        response, body = answer(client)
        assert (response.status, body["status"], body["code"]) == (431, 431, "header_too_large")
        assert response.headers["Content-Type"] == "application/problem+json"
        assert response.headers["Connection"] == "close"
        assert str(LIMIT) in body["detail"]
        assert is_closed(client)
    # Parsed to the end, the largest takes 11 s, in which others have to wait.
    assert computed_s(service) - before_s < 5


def test_a_url_and_many_small_headers_count_as_well(service: Service) -> None:
    many = b"".join(b"X-%d: x\r\n" % i for i in range(10_000))
    for header in (b"GET /" + b"x" * (1 << 20), GET + many):
        with connect(service) as client:
            send_while_it_listens(client, header)
            assert answer(client)[0].status == 431


@pytest.mark.parametrize(
    "endless", [b"1;" + b"x" * (1 << 20), b"0\r\n" + b"X: " + b"x" * (1 << 20)]
)
def test_chunk_extensions_and_trailers_have_the_limit_too(service: Service, endless: bytes) -> None:
    head = (
        b"PUT /v1/streamers/x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    with connect(service) as client:
        send_while_it_listens(client, head + endless)
        assert answer(client)[0].status == 431
    assert service.client.get("/v1/streamers/x").status_code == 404


def test_the_answer_before_comes_first(service: Service) -> None:
    with connect(service) as client:
        send_while_it_listens(client, GET + b"\r\n" + header_of(1 << 20))
        assert answer(client)[0].status == 200


def test_large_bodies_are_no_headers(service: Service) -> None:
    profile = {"tags": ["music"], "bio": "x" * 4000, "attributes": {"a": "y" * 100}}
    lines = b"".join(
        json.dumps({"streamer_id": f"b{i}", **profile}).encode() + b"\n" for i in range(200)
    )
    kind = {"Content-Type": "application/x-ndjson"}
    parts = iter([lines[i : i + 7777] for i in range(0, len(lines), 7777)])
    for content in (lines, parts):  # at once, and in chunks
        done = service.client.post("/v1/streamers:bulk", content=content, headers=kind)
        assert len(done.text.splitlines()) == 200
    for i in range(200):
        service.client.delete(f"/v1/streamers/b{i}").raise_for_status()


def test_requests_may_be_sent_before_answers_are_read(service: Service) -> None:
    with connect(service) as client, client.makefile("rb") as file:
        client.sendall((GET + b"\r\n") * 20)
        for _ in range(20):
            assert file.readline() == b"HTTP/1.1 200 OK\r\n"
            headers = http.client.parse_headers(file)
            assert json.loads(file.read(int(headers["Content-Length"])))["streamers"] == []


@pytest.mark.parametrize("at_once", [True, False])
def test_a_body_after_an_upgrade_is_no_other_request(service: Service, at_once: bool) -> None:
    """Java's client sends it so; the parser passes over such a body, and would read requests."""
    body = b"DELETE /v1/streamers/kept HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = (
        b"POST /v1/similar HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    service.put("kept", tags=["music"])
    with connect(service) as client:
        if at_once:
            client.sendall(head + body)
        else:
            client.sendall(head)
            send_while_it_listens(client, body)
        response, answered = answer(client)
        assert (response.status, answered["code"]) == (400, "malformed_request")
        assert "HTTP/1.1, without Upgrade" in answered["detail"]
        assert is_closed(client)
    assert service.client.delete("/v1/streamers/kept").status_code == 200


def test_a_get_may_offer_another_protocol(service: Service) -> None:
    with connect(service) as client:
        client.sendall(GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        assert answer(client)[0].status == 200


def test_what_is_not_http_is_a_problem_too(service: Service) -> None:
    with connect(service) as client:
        client.sendall(b"rubbish\r\n\r\n")
        response, body = answer(client)
        assert (response.status, body["code"]) == (400, "malformed_request")
        assert is_closed(client)


@pytest.mark.parametrize("before", [b"", GET + b"\r\n"])
def test_a_header_that_does_not_come(hasty: Service, before: bytes) -> None:
    with connect(hasty) as client:
        client.sendall(before + GET)
        if before:
            assert answer(client)[0].status == 200
        response, body = answer(client)
        assert (response.status, body["code"]) == (408, "header_too_slow")
        assert is_closed(client)


@pytest.mark.parametrize("before", [b"", GET + b"\r\n"])
def test_who_asks_nothing_is_let_go(hasty: Service, before: bytes) -> None:
    with connect(hasty) as client:
        client.sendall(before)
        if before:
            assert answer(client)[0].status == 200
        assert is_closed(client)


# Many of them


@pytest.fixture(scope="module")
def narrow(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that may open few files."""
    with Service(
        bundle, tmp_path_factory.mktemp("narrow") / "data", open_files=DESCRIPTORS
    ) as running:
        yield running.wait_until_ready()


def livez(service: Service) -> int:
    return httpx.get(f"{service.url}/livez", trust_env=False, timeout=START_S).status_code


def test_idle_connections_give_way(narrow: Service) -> None:
    with contextlib.ExitStack() as stack:
        idle: list[socket.socket] = []
        for i in range(2 * DESCRIPTORS):
            idle.append(stack.enter_context(connect(narrow)))
            if i % 16 == 0:
                assert livez(narrow) == 200
        assert is_closed(idle[0])  # the one that waited longest
        assert narrow.client.put("/v1/streamers/a", json={"tags": ["music"]}).is_success
        idle[-1].sendall(GET + b"\r\n")  # the last one is still there
        assert answer(idle[-1])[0].status == 200


def test_half_headers_give_way_too(narrow: Service) -> None:
    with contextlib.ExitStack() as stack:
        for i in range(2 * DESCRIPTORS):
            send_while_it_listens(stack.enter_context(connect(narrow)), GET)
            if i % 16 == 0:
                assert livez(narrow) == 200


def test_where_all_are_in_use_probes_are_answered(bundle: Path, tmp_path: Path) -> None:
    head = (
        b"PUT /v1/streamers/x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 100\r\nExpect: 100-continue\r\n\r\n"
    )
    with (
        Service(bundle, tmp_path / "data", STREAMER_SERVER__MAX_CONNECTIONS="4") as service,
        contextlib.ExitStack() as stack,
    ):
        service.wait_until_ready()
        service.client.close()
        busy = [stack.enter_context(connect(service)) for _ in range(4)]
        for client in busy:
            client.sendall(head)
            assert b" 100 " in client.recv(100)  # its body is waited for
        for _ in range(20):
            assert livez(service) == 200
            refused = httpx.get(f"{service.url}/v1/streamers", trust_env=False, timeout=START_S)
            assert (refused.status_code, refused.json()["code"]) == (503, "too_many_connections")
            assert refused.headers["retry-after"] == "1"
            assert refused.headers["connection"] == "close"
            assert refused.headers["x-request-id"] == refused.json()["request_id"]
        scraped = httpx.get(f"{service.url}/metrics", trust_env=False, timeout=START_S)
        assert scraped.status_code == 200
        found = {
            (sample.name, sample.labels.get("route"), sample.labels.get("status")): sample.value
            for family in text_string_to_metric_families(scraped.text)
            for sample in family.samples
        }
        assert found["streamer_request_seconds_count", "other", "503"] >= 20
        assert found["streamer_connections", None, None] >= 5  # with the one that scrapes
        assert found["streamer_connections_limit", None, None] == 4
        busy[0].close()
        wait_until(
            lambda: (
                httpx.get(
                    f"{service.url}/v1/streamers", trust_env=False, timeout=START_S
                ).is_success
            ),
            "one may come again",
        )


def test_more_connections_than_files_are_refused_at_the_start(bundle: Path, tmp_path: Path) -> None:
    arguments = ("serve", "--bundle", bundle, "--data-dir", tmp_path / "data", "--port", 0)
    done = run(*arguments, STREAMER_SERVER__MAX_CONNECTIONS="1000000")
    assert done.returncode == 1
    assert done.stderr.startswith("error: STREAMER_SERVER__MAX_CONNECTIONS=1000000 needs more")
    assert "ulimit -n" in done.stderr
    assert not (tmp_path / "data").exists()
