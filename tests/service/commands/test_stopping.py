"""SIGTERM and SIGINT end the service and its store in order, whenever they come."""

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
from tests.service.process import (
    ROOT,
    START_S,
    Service,
    environment,
    is_free,
    is_gone,
    wait_until,
)

SOON_S = 10
"""On a busy machine; it takes about one second on an idle one."""
STOPS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


@STOPS
def test_it_stops_in_order(serve: Serve, number: signal.Signals) -> None:
    service = serve()
    service.put("a", tags=["cooking"])
    store = service.store
    begun = time.monotonic()
    assert service.stop(number) == 0
    assert time.monotonic() - begun < SOON_S
    assert is_gone(store)
    assert is_free(service.data_dir)
    assert "Traceback" not in service.output
    assert "ready to exit" in (service.data_dir / "store" / "store.log").read_text()
    assert set(serve().streamers()) == {"a"}


def test_it_ends_as_it_should_while_a_base_is_built() -> None:
    """FAISS can't be told to stop; four processes, since it went wrong every second time."""
    command = [sys.executable, "-m", "tests.service.ended_in_a_build"]
    ending = [
        subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    for process in ending:
        _, said = process.communicate(timeout=60)
        assert (process.returncode, said) == (3, b"")


def test_ctrl_c_at_a_terminal(serve: Serve) -> None:
    service = serve()
    store = service.store
    os.killpg(service.process.pid, signal.SIGINT)  # a terminal sends it to the whole group
    os.killpg(service.process.pid, signal.SIGINT)  # an impatient person, twice
    assert service.process.wait(SOON_S) == 0
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
        begun = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - begun < 2 * SOON_S
    assert is_free(service.data_dir)


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


@pytest.mark.parametrize(
    "moment", [reads_arguments, loads_the_model, has_the_folder, runs_the_store]
)
def test_it_can_be_interrupted_while_it_starts(
    bundle: Path, tmp_path: Path, moment: Callable[[Service], bool]
) -> None:
    with Service(bundle, tmp_path / "data") as service:
        wait_until(lambda: moment(service), "the moment comes", START_S)
        begun = time.monotonic()
        status = service.stop(signal.SIGINT)
        assert time.monotonic() - begun < SOON_S
        # 130: it had begun something and put it in order; 0: it was up already.
        assert status in (-signal.SIGINT, 130, 0)
        assert "Traceback" not in service.output
    if has_the_folder(service):
        assert is_free(tmp_path / "data")


def test_it_can_be_interrupted_while_it_waits_for_the_folder(
    bundle: Path, tmp_path: Path, serve: Serve
) -> None:
    first = serve()
    with Service(bundle, tmp_path / "data") as second:
        wait_until(lambda: maps(second, "faiss"), "it has loaded everything", START_S)
        time.sleep(0.5)
        assert second.stop(signal.SIGTERM) in (130, -signal.SIGTERM)
    assert first.put("a", tags=["cooking"]) == 1
