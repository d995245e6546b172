"""A bundle, and services that run as processes of their own."""

import asyncio
import json
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import trustme
from fastapi.testclient import TestClient

from service.app import create_app
from service.engine.replica import follower
from service.features.streamers import near_duplicates
from service.settings import Settings
from tests import machine
from tests.bundles import DIM, write_bundle
from tests.service import process
from tests.service.data_sets import NDJSON, json_line
from tests.service.process import Service, when_visible
from tests.service.valkey import Server

Serve = Callable[..., Service]

# A write is answered when the index has it, or a tenth of a second later: whoever asks next without
# `after_sequence` would miss it whenever this machine is busy for so long.
follower._SHOW_MS = 5000
# So it would miss near-duplicates that take longer than two seconds.
near_duplicates.LONGEST_S = 60.0


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "b"
    write_bundle(folder)
    return folder


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Signs certificates for any name; nobody else trusts it."""
    return trustme.CA()


@pytest.fixture
def new_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes are started as a person starts them, and are no forks of another one."""
    monkeypatch.setattr(process, "parent_for", lambda _: None)


@pytest.fixture
def free_port() -> int:
    """A port of this machine where nobody listens."""
    return machine.free_port()


@pytest.fixture
def silent_store() -> Iterator[str]:
    """The URL of a store that takes connections and never answers."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        yield f"redis://127.0.0.1:{silent.getsockname()[1]}"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A store of its own, which several services may share."""
    folder = tmp_path / "server"
    folder.mkdir()
    server = Server(folder)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def serve(bundle: Path, tmp_path: Path) -> Iterator[Serve]:
    """Starts services and waits until they are ready; all of them end with the test."""
    with ExitStack() as running:

        def start(
            *options: object,
            bundle: Path = bundle,
            data_dir: Path = tmp_path / "data",
            port: int = 0,
            **variables: Any,
        ) -> Service:
            service = Service(bundle, data_dir, *options, port=port, **variables)
            return running.enter_context(service).wait_until_ready()

        yield start


@pytest.fixture(scope="session")
def running(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(bundle=bundle, data_dir=tmp_path_factory.mktemp("data"))
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        yield client


@pytest.fixture
def client(running: TestClient) -> Iterator[TestClient]:
    """A service without streamers and lists."""
    yield running
    for one in running.get("/v1/lists").json()["lists"]:
        running.delete(f"/v1/lists/{quote(one['name'], safe='')}")
    while streamers := running.get("/v1/streamers", params={"limit": 1000}).json()["streamers"]:
        assert running.portal is not None
        ids = [streamer["streamer_id"] for streamer in streamers]
        wait_until_visible(running, running.portal.call(_delete, running, ids))


async def _delete(running: TestClient, streamer_ids: list[str]) -> int:
    """Delete some at a time, in the event loop of the service; the last sequence number.

    One after the other, from another thread, would take as long as many a test.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await running.app({**scope, "state": running.app_state.copy()}, receive, send)

    transport, last = httpx.ASGITransport(app), 0
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        paths = [f"/v1/streamers/{quote(streamer_id, safe='')}" for streamer_id in streamer_ids]
        for i in range(0, len(paths), 8):
            for answer in await asyncio.gather(*map(client.delete, paths[i : i + 8])):
                last = max(last, answer.raise_for_status().json()["sequence"])
    return last


def wait_until_visible(client: TestClient, sequence: int) -> None:
    """Return when the index has applied this write."""
    asked = {"positive": [{"vector": [1.0] * DIM}], "after_sequence": sequence}
    when_visible(lambda: client.post("/v1/similar", json=asked))


def put(client: TestClient, streamer_id: str, **profile: object) -> int:
    """Write a streamer; its sequence number."""
    answer = client.put(f"/v1/streamers/{streamer_id}", json=profile)
    answer.raise_for_status()
    return answer.json()["sequence"]


def put_all(client: TestClient, profiles: Iterable[dict[str, Any]]) -> int:
    """Write streamers by one request, a new version of each; the last sequence number."""
    content = "".join(map(json_line, profiles))
    answer = client.post("/v1/streamers:bulk", content=content, headers=NDJSON).raise_for_status()
    lines = [json.loads(line) for line in answer.content.split(b"\n") if line]
    assert {line["outcome"] for line in lines} <= {"created", "updated"}, lines
    return max(line["sequence"] for line in lines)


@pytest.fixture(scope="module")
def media_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("towers") / "b"
    write_bundle(folder, tower=True, media=True)
    return folder


@pytest.fixture
def media_client(media_bundle: Path, tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings(bundle=media_bundle, data_dir=tmp_path / "data")
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        yield client
