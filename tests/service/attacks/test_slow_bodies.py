"""Bodies that come slowly, or not at all, and bodies without an end."""

import contextlib
import http.client
import json
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.process import START_S, Service, wait_until

pytestmark = pytest.mark.slow

TIMEOUT_S = 2.0
"""For bodies that are to take longer."""
PATIENT_S = 8.0
"""For bodies that come, also on a busy machine."""
BULK_LIMIT = 4096
BULK_MIN = 100


def waiting(bundle: Path, data: Path, timeout_s: float) -> Service:
    """A service that waits for so long."""
    limits = {
        "body_timeout_s": timeout_s,
        "bulk_body_limit_bytes": BULK_LIMIT,
        "bulk_min_bytes": BULK_MIN,
    }
    return Service(bundle, data, STREAMER_LIMITS=json.dumps(limits))


def connected(service: Service) -> http.client.HTTPConnection:
    host, port = service.url.removeprefix("http://").split(":")
    return http.client.HTTPConnection(host, int(port), timeout=START_S)


@pytest.fixture(scope="module")
def hurried(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with waiting(bundle, tmp_path_factory.mktemp("hurried") / "data", TIMEOUT_S) as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="module")
def patient(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with waiting(bundle, tmp_path_factory.mktemp("patient") / "data", PATIENT_S) as running:
        yield running.wait_until_ready()


@pytest.fixture
def connection(hurried: Service) -> Iterator[http.client.HTTPConnection]:
    with contextlib.closing(connected(hurried)) as opened:
        yield opened


@pytest.fixture
def unhurried(patient: Service) -> Iterator[http.client.HTTPConnection]:
    with contextlib.closing(connected(patient)) as opened:
        yield opened


def begin(connection: http.client.HTTPConnection, method: str, path: str, **headers: str) -> None:
    connection.putrequest(method, path)
    bulk = path.endswith(":bulk")
    connection.putheader("Content-Type", "application/x-ndjson" if bulk else "application/json")
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()


def send(connection: http.client.HTTPConnection, part: bytes) -> None:
    connection.send(b"%x\r\n%s\r\n" % (len(part), part))


def line(i: int) -> bytes:
    return json.dumps({"streamer_id": f"slow-{i}", "tags": ["music"]}).encode() + b"\n"


def results(connection: http.client.HTTPConnection) -> list[dict[str, Any]]:
    answer = connection.getresponse()
    assert answer.status == 200
    return [json.loads(part) for part in answer.read().splitlines()]


@pytest.mark.parametrize("drips", [False, True])
def test_a_body_that_does_not_come(connection: http.client.HTTPConnection, drips: bool) -> None:
    begun = time.monotonic()
    begin(connection, "PUT", "/v1/streamers/s", Content_Length="100000")
    if drips:  # each byte within the time, all of them together not
        for _ in range(8):
            connection.send(b" ")
            time.sleep(TIMEOUT_S / 5)
    answer = connection.getresponse()
    body = json.loads(answer.read())
    assert time.monotonic() - begun >= 0.9 * TIMEOUT_S
    assert (answer.status, body["code"]) == (408, "body_too_slow")
    assert body["detail"] == "the body did not come within 2 s; send it faster"
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_many_lines_may_pause(unhurried: http.client.HTTPConnection) -> None:
    begin(unhurried, "POST", "/v1/streamers:bulk", Transfer_Encoding="chunked")
    for i in range(12):
        send(unhurried, b" " * BULK_MIN + line(i))  # enough to be waited for as long again
        time.sleep(PATIENT_S / 10)
    unhurried.send(b"0\r\n\r\n")
    assert [each["outcome"] for each in results(unhurried)] == ["created"] * 12


def test_lines_before_a_stop_are_written(connection: http.client.HTTPConnection) -> None:
    begin(connection, "POST", "/v1/streamers:bulk", Transfer_Encoding="chunked")
    send(connection, line(20) + line(21) + b'{"streamer_id": "slow-22')
    *written, last = results(connection)
    assert [each["streamer_id"] for each in written] == ["slow-20", "slow-21"]
    assert [each["outcome"] for each in written] == ["created", "created"]
    assert (last["line"], last["outcome"]) == (3, "error")
    assert last["error"]["code"] == "body_too_slow"


def test_lines_that_trickle_are_given_up(connection: http.client.HTTPConnection) -> None:
    begin(connection, "POST", "/v1/streamers:bulk", Transfer_Encoding="chunked")
    send(connection, line(25))
    begun = time.monotonic()
    while not select.select([connection.sock], [], [], TIMEOUT_S / 10)[0]:
        assert time.monotonic() - begun < START_S
        send(connection, b" ")
    written, last = results(connection)
    assert written["outcome"] == "created"
    assert (last["line"], last["error"]["code"]) == (2, "body_too_slow")
    assert last["error"]["detail"].startswith("100 bytes of the body did not come within 2 s")


def test_lines_before_the_limit_are_written(unhurried: http.client.HTTPConnection) -> None:
    begin(unhurried, "POST", "/v1/streamers:bulk", Transfer_Encoding="chunked")
    for i in range(64):  # these are written, and their results come, before the next are read
        send(unhurried, line(30 + i))
    wait_until(lambda: b'"slow-93"' in unhurried.sock.recv(1 << 16, socket.MSG_PEEK), "64 results")
    send(unhurried, line(99) + b'{"name": "' + b"x" * BULK_LIMIT)
    unhurried.send(b"0\r\n\r\n")
    *written, last = results(unhurried)
    assert [each["streamer_id"] for each in written] == [f"slow-{30 + i}" for i in range(64)]
    assert {each["outcome"] for each in written} == {"created"}
    assert (last["line"], last["error"]["code"]) == (65, "body_too_large")
    assert str(BULK_LIMIT) in last["error"]["detail"]
