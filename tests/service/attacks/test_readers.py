"""Clients that ask for much and read nothing, many at once; others are answered meanwhile."""

import contextlib
import socket

import psutil
import pytest

from tests.service.attacks.raw import connect, request
from tests.service.data_sets import json_line
from tests.service.features.transfers.waiting import ended, submitted, upload
from tests.service.process import Service, wait_until

pytestmark = pytest.mark.slow

CLIENTS = 40


def open_connections(service: Service) -> int:
    """Sockets of the service, the one that the client asks by included."""
    assert service.client.get("/livez").status_code == 200
    return len(psutil.Process(service.process.pid).net_connections("tcp"))


@pytest.mark.parametrize("path", ["/v1/streamers?limit=1000", "/result", "/openapi.json"])
def test_clients_that_never_read(hasty: Service, path: str) -> None:
    """Each is let go, and what waits for it takes no memory beside what the kernel holds."""
    if path == "/result":
        path = submitted(hasty.client.post("/v1/jobs/exports", json={})) + path
        ended(hasty.client, path.removesuffix("/result"))
    before, memory = open_connections(hasty), psutil.Process(hasty.process.pid).memory_info().rss
    with contextlib.ExitStack() as stack:
        for _ in range(CLIENTS):
            client = stack.enter_context(connect(hasty))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(request("GET", path) * 20)
            assert hasty.client.get("/livez").status_code == 200
        wait_until(lambda: open_connections(hasty) <= before, "all are let go")
    assert psutil.Process(hasty.process.pid).memory_info().rss - memory < 600 << 20
    assert hasty.client.get("/v1/streamers/r1").status_code == 200


def test_events_end_with_the_key(guarded: Service) -> None:
    """Who watches a job is not told more than others once the key is revoked."""
    client = guarded.client
    made = client.post("/v1/keys", json={"name": "gone", "scopes": ["streamers:read"]}).json()
    path = upload(client, json_line({"streamer_id": "a"}))
    known = {"Authorization": f"Bearer {made['key']}"}
    with client.stream("GET", path + "/events", headers=known) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "event: job"
        client.delete(f"/v1/keys/{made['key_id']}").raise_for_status()
        assert list(lines)[-1] == ""  # in order, though the job still waits
    assert client.get(path).json()["state"] == "queued"


def test_many_slow_heads_and_bodies(hasty: Service) -> None:
    """Each sends a byte now and then, and none keeps its connection by that."""
    kind = ("Content-Type: application/json", "Content-Length: 1000")
    begun = (
        b"GET /v1/streamers HTTP/1.1\r\nX-",
        request("PUT", "/v1/streamers/slow", *kind) + b"{",
    )
    with contextlib.ExitStack() as stack:
        before = open_connections(hasty)
        slow = [stack.enter_context(connect(hasty)) for _ in range(2 * CLIENTS)]
        for i, client in enumerate(slow):
            client.sendall(begun[i % 2])

        def drip() -> bool:
            for client in slow:
                with contextlib.suppress(OSError):
                    client.send(b"x")
            return open_connections(hasty) <= before

        wait_until(drip, "all are let go")
    assert hasty.client.get("/v1/streamers/slow").status_code == 404
