"""SIGTERM and SIGINT end the service and its store in order, whenever they come."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.service.conftest import Serve
from tests.service.data_sets import NDJSON
from tests.service.process import (
    ROOT,
    RUN_S,
    START_S,
    STOP_S,
    Service,
    environment,
    is_free,
    is_gone,
    wait_until,
)

pytestmark = pytest.mark.slow

in_new_processes = pytest.mark.usefixtures("new_processes")
"""Where it matters how Python begins or ends; a fork has imported all, and frees nothing."""
STOPS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


@STOPS
def test_it_stops_in_order(
    serve: Serve,
    number: signal.Signals,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if number == signal.SIGTERM:
        request.getfixturevalue("new_processes")
    service = serve()
    monkeypatch.undo()  # who looks afterwards may be a fork
    service.put("a", tags=["cooking"])
    store = service.store
    assert service.stop(number) == 0
    assert is_gone(store)
    assert is_free(service.data_dir)
    assert "Traceback" not in service.output
    assert "ready to exit" in (service.data_dir / "store" / "store.log").read_text()
    assert set(serve().streamers()) == {"a"}


def test_it_ends_as_it_should_while_a_base_is_built() -> None:
    """FAISS can't be told to stop; four processes, since it went wrong every second time."""
    command = [sys.executable, "-m", "tests.service.ended_in_a_build"]
    ending: list[subprocess.Popen[bytes]] = []
    with contextlib.ExitStack() as stack:
        for seed in range(4):
            process = subprocess.Popen(
                [*command, str(seed)], cwd=ROOT, env=environment(), stderr=subprocess.PIPE
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            ending.append(process)
        for process in ending:
            _, said = process.communicate(timeout=RUN_S)
            assert (process.returncode, said) == (3, b"")


@in_new_processes
def test_ctrl_c_at_a_terminal(serve: Serve) -> None:
    service = serve()
    store = service.store
    os.killpg(service.process.pid, signal.SIGINT)  # a terminal sends it to the whole group
    os.killpg(service.process.pid, signal.SIGINT)  # an impatient person, twice
    assert service.process.wait(STOP_S) == 0
    assert is_gone(store)
    assert "Traceback" not in service.output


@STOPS
def test_what_it_acknowledges_while_it_stops_is_stored(
    serve: Serve, number: signal.Signals
) -> None:
    service = serve()
    acknowledged: list[str] = []

    def write(writer: int) -> None:
        with httpx.Client(base_url=service.url, trust_env=False, timeout=START_S) as client:
            for i in range(100_000):
                streamer_id = f"w{writer}-{i}"
                try:
                    answer = client.put(f"/v1/streamers/{streamer_id}", json={"tags": ["music"]})
                except httpx.TransportError:
                    return
                if answer.is_success:
                    acknowledged.append(streamer_id)

    writers = [threading.Thread(target=write, args=(w,)) for w in range(4)]
    for writer in writers:
        writer.start()
    wait_until(lambda: len(acknowledged) > 20, "writes are under way")
    assert service.stop(number) == 0
    for writer in writers:
        writer.join(START_S)
    assert set(serve().streamers()) >= set(acknowledged)


def test_a_client_that_never_finishes_does_not_keep_it(serve: Serve) -> None:
    service = serve()
    host, port = service.url.removeprefix("http://").split(":")
    begun_body = b'{"streamer_id": "a", "tags": ["music"]}\n{"strea'
    with socket.create_connection((host, int(port)), timeout=START_S) as client:
        client.sendall(
            b"POST /v1/streamers:bulk HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Type: application/x-ndjson\r\n\r\n"
            + b"%x\r\n%s\r\n"
            % (len(begun_body), begun_body)
        )
        time.sleep(0.5)
        assert service.stop() == 0
    assert is_free(service.data_dir)


def begin(service: Service, method: str, path: str, kind: str) -> http.client.HTTPConnection:
    """A request whose body is to come in chunks."""
    host, port = service.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=START_S)
    connection.putrequest(method, path)
    connection.putheader("Content-Type", kind)
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    return connection


def send(connection: http.client.HTTPConnection, part: bytes) -> None:
    connection.send(b"%x\r\n%s\r\n" % (len(part), part))


@in_new_processes
def test_many_lines_end_with_one_that_says_why(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve()
    monkeypatch.undo()  # who looks afterwards may be a fork
    lines = [json.dumps({"streamer_id": f"s{i}", "tags": ["music"]}).encode() for i in range(70)]
    with contextlib.closing(begin(service, "POST", "/v1/streamers:bulk", *NDJSON.values())) as bulk:
        send(bulk, b"\n".join(lines) + b'\n{"streamer_id": "half')
        wait_until(lambda: "s63" in service.streamers(), "a chunk is written")
        service.send(signal.SIGTERM)
        answer = bulk.getresponse()
        assert answer.status == 200
        *results, last = map(json.loads, answer.read().splitlines())
    assert [each["outcome"] for each in results] == ["created"] * 70
    assert (last["line"], last["outcome"]) == (71, "error")
    assert (last["error"]["status"], last["error"]["code"]) == (503, "stopping")
    assert service.process.wait(STOP_S) == 0
    assert "Traceback" not in service.output
    assert set(serve().streamers()) == {f"s{i}" for i in range(70)}


def test_a_body_that_is_half_sent_is_no_error_of_the_service(serve: Serve) -> None:
    service = serve()
    with contextlib.closing(begin(service, "PUT", "/v1/streamers/a", "application/json")) as put:
        send(put, b'{"tags": [')
        wait_until(lambda: service.client.get("/livez").is_success, "its header has come")
        service.send(signal.SIGTERM)
        answer = put.getresponse()
        body = json.loads(answer.read())
    assert (answer.status, body["code"]) == (503, "stopping")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Retry-After"] == "1"
    assert service.process.wait(STOP_S) == 0
    assert "Traceback" not in service.output
    assert serve().streamers() == {}


def test_it_is_not_ready_before_the_port_closes(serve: Serve) -> None:
    service = serve(STREAMER_SERVER__DRAIN_S="60")
    service.send(signal.SIGTERM)
    wait_until(lambda: not service.is_ready(), "it says so")
    ready = service.client.get("/readyz")
    assert ready.status_code == 503
    assert ready.json()["status"] == "stopping"
    assert service.client.get("/livez").status_code == 200
    service.put("a", tags=["music"])  # who has not heard of it yet is answered
    assert service.is_running
    assert service.stop(signal.SIGTERM) == 0  # a second one does not wait any longer
    assert set(serve().streamers()) == {"a"}


# Before it is up


def maps(service: Service, library: str) -> bool:
    return library in Path(f"/proc/{service.process.pid}/maps").read_text()


def reads_arguments(service: Service) -> bool:
    return maps(service, "pydantic_core")


def loads_the_model(service: Service) -> bool:
    return maps(service, "onnxruntime")


def has_the_folder(service: Service) -> bool:
    return (service.data_dir / "store" / "lock").exists()


def runs_the_store(service: Service) -> bool:
    return (service.data_dir / "store" / "run" / "store.sock").exists()


@in_new_processes
@pytest.mark.parametrize(
    "moment", [reads_arguments, loads_the_model, has_the_folder, runs_the_store]
)
def test_it_can_be_interrupted_while_it_starts(
    bundle: Path, tmp_path: Path, moment: Callable[[Service], bool]
) -> None:
    with Service(bundle, tmp_path / "data") as service:
        wait_until(lambda: moment(service), "the moment comes", START_S)
        status = service.stop(signal.SIGINT)
        assert status in (-signal.SIGINT, 0)  # the signal: it was still being imported
        assert "Traceback" not in service.output
    if has_the_folder(service):
        assert is_free(tmp_path / "data")


def test_it_can_be_interrupted_while_it_waits_for_the_folder(
    bundle: Path, tmp_path: Path, serve: Serve, request: pytest.FixtureRequest
) -> None:
    first = serve()
    request.getfixturevalue("new_processes")
    with Service(bundle, tmp_path / "data") as second:
        wait_until(lambda: maps(second, "faiss"), "it has loaded everything", START_S)
        time.sleep(0.5)
        assert second.stop(signal.SIGTERM) == 0
    assert first.put("a", tags=["cooking"]) == 1


@STOPS
def test_it_can_be_interrupted_while_the_port_is_open(
    bundle: Path, tmp_path: Path, number: signal.Signals, silent_store: str
) -> None:
    with Service(bundle, tmp_path / "data", REDIS_URL=silent_store) as service:
        wait_until(lambda: service.client.get("/livez").is_success, "it answers", START_S)
        assert service.stop(number) == 0
        assert "Traceback" not in service.output


@STOPS
def test_it_can_be_interrupted_while_it_waits_for_the_store(
    bundle: Path, tmp_path: Path, number: signal.Signals, free_port: int
) -> None:
    with Service(bundle, tmp_path / "data", REDIS_URL=f"redis://127.0.0.1:{free_port}") as service:
        wait_until(
            lambda: "the store is waited for: " in service.client.get("/startupz").text,
            "it says what",
            START_S,
        )
        assert service.stop(number) == 0
        assert "the store is waited for, up to 600 s" in service.output
        assert "Traceback" not in service.output
