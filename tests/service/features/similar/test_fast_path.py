"""The short way to the k nearest answers as the framework's route does, or leaves it to that."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from starlette.types import Receive, Scope, Send

from service.app import create_app
from service.errors import Overloaded
from service.features.similar.fast_path import NearestRoute
from service.http.auth.audit import RequestAudit
from service.settings import Limits, Settings
from service.store.base import IndexEntry
from service.store.redis.store import RedisStore
from tests.bundles import DIM
from tests.service.conftest import put, put_all, wait_until_visible
from tests.service.features.operations.stored import inside
from tests.service.process import wait_until

SHORT = ["", "?k=1", "?k=3", "?k=3&after_sequence=7", "?k=1000"]
LEFT_ALONE = [
    "?k=0",
    "?k=1001",
    "?k=03",
    "?k=3&explain=false",
    "?k=3&k=4",
    "?exact=true",
    "?after_sequence=1",
    "?k=3&after_sequence=-1",
    "?k=3&after_sequence=999999999",
    "?min_score=0.5",
    "?k=%33",
    "?unknown=1",
]


EVERYONE = [f"s{i}" for i in range(30)]


@pytest.fixture(scope="module")
def client(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service with everyone, whom no test changes."""
    profiles = [
        {
            "streamer_id": name,
            "tags": ["cooking", ("gaming", "music", "travel")[i % 3]],
            "bio": "soup",
        }
        for i, name in enumerate(EVERYONE)
    ]
    settings = Settings(bundle=bundle, data_dir=tmp_path_factory.mktemp("data"))
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        wait_until_visible(client, put_all(client, [*profiles, {"streamer_id": "shows.nothing"}]))
        yield client


@pytest.fixture
def passed(client: TestClient) -> Callable[..., bool]:
    """Whether the short way leaves a request to the framework, with this service's state."""

    def ask(path: str, body: bytes | None = None, **headers: str) -> bool:
        left: list[str] = []

        async def framework(scope: Scope, receive: Receive, send: Send) -> None:
            left.append(scope["path"])
            if body is not None:  # whatever was read of it is there again
                assert (await receive())["body"] == body
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            services = client.app_state["services"]  # type: ignore[attr-defined]
            scope["state"] = {"services": services}
            scope["audit"] = RequestAudit(services.audit, scope, None)
            await NearestRoute(framework)(scope, receive, send)

        if body is None:
            TestClient(app).get(path)
        else:
            kind = {"content-type": "application/json", **headers}
            TestClient(app).post(path, content=body, headers=kind)
        return bool(left)

    return ask


@pytest.mark.slow
@pytest.mark.parametrize("query", SHORT)
def test_the_same_as_the_framework(
    client: TestClient, passed: Callable[..., bool], query: str
) -> None:
    path = f"/v1/streamers/s4/similar{query}"
    assert not passed(path)
    short = client.get(path)
    other = client.get(f"{path}{'&' if query else '?'}explain=false")
    assert short.status_code == other.status_code == 200
    assert short.headers["content-type"] == other.headers["content-type"]
    assert short.headers["x-request-id"]
    ours, theirs = short.json(), other.json()
    assert list(ours) == list(theirs)
    assert ours.pop("took_ms") >= 0
    assert theirs.pop("took_ms") >= 0
    assert ours == theirs
    assert len(ours["hits"]) == min(int(query[3:].partition("&")[0] or 10), 29)
    assert ours["hits"][0]["precision"] is not None


@pytest.mark.slow
@pytest.mark.parametrize("query", LEFT_ALONE)
def test_what_is_not_ordinary_is_left_alone(
    client: TestClient, passed: Callable[..., bool], query: str
) -> None:
    assert passed(f"/v1/streamers/s4/similar{query}")


@pytest.mark.parametrize(
    ("streamer_id", "status"), [("nobody", 404), ("shows.nothing", 422), ("..", 422), ("a b", 422)]
)
def test_errors_are_the_frameworks(client: TestClient, streamer_id: str, status: int) -> None:
    answer = client.get(f"/v1/streamers/{streamer_id.replace('..', '%2E%2E')}/similar")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_other_methods_are_the_frameworks(client: TestClient) -> None:
    assert client.post("/v1/streamers/s4/similar").status_code == 405
    assert client.get("/v1/streamers/s4").status_code == 200


def vector_of(client: TestClient, streamer_id: str) -> list[float]:
    found: list[float] = client.get(f"/v1/streamers/{streamer_id}/embedding").json()["embedding"]
    return (7 * np.array(found)).tolist()  # the length of a seed does not matter


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"k": 3}, {"k": 3, "after_sequence": 7}, {"k": 1000}])
@pytest.mark.parametrize("by_vector", [True, False])
def test_a_body_with_one_seed_is_answered_as_by_the_framework(
    client: TestClient, passed: Callable[..., bool], more: dict[str, int], by_vector: bool
) -> None:
    seed = {"vector": vector_of(client, "s4")} if by_vector else {"streamer_id": "s4"}
    body: dict[str, Any] = {"positive": [seed], **more}
    assert not passed("/v1/similar", json.dumps(body).encode())
    ours = client.post("/v1/similar", json=body).json()
    theirs = client.post("/v1/similar", json={**body, "explain": False}).json()
    assert list(ours) == list(theirs)
    assert ours.pop("took_ms") >= 0
    assert theirs.pop("took_ms") >= 0
    assert ours == theirs
    known = {*EVERYONE} - (set() if by_vector else {"s4"})
    found = {hit["streamer_id"] for hit in ours["hits"]}
    assert found <= known
    assert len(found) == len(ours["hits"]) == min(more.get("k", 10), len(known))


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        {"positive": [{"streamer_id": "s4"}], "explain": True},
        {"positive": [{"streamer_id": "s4"}], "after_sequence": 999999999},
        {"positive": [{"streamer_id": "s4"}], "k": 0},
        {"positive": [{"streamer_id": "s4"}], "k": 1001},
        {"positive": [{"streamer_id": "nobody"}]},
        {"positive": [{"streamer_id": "s4"}, {"streamer_id": "s5"}]},
        {"positive": [{"profile": {"tags": ["cooking"]}}]},
        {"positive": [{"vector": [0.0] * DIM}]},
        {"positive": [{"vector": [1.0, 2.0]}]},
        {"positive": []},
        {"positive": [{"streamer_id": "s4"}], "unknown": 1},
        [],
    ],
)
def test_other_bodies_are_left_alone(
    client: TestClient, passed: Callable[..., bool], body: object
) -> None:
    assert passed("/v1/similar", json.dumps(body).encode())


def test_bodies_that_are_no_json_or_much_of_it_are_left_alone(
    client: TestClient, passed: Callable[..., bool]
) -> None:
    good = b'{"positive": [{"streamer_id": "s4"}]}'
    assert not passed("/v1/similar", good)
    assert passed("/v1/similar", good[:-1])
    assert passed("/v1/similar?k=3", good)  # a parameter that the route refuses
    assert passed("/v1/similar", good + b" " * (1 << 16))
    assert passed("/v1/similar", good, **{"content-type": "text/plain"})
    assert passed("/v1/similar", b"")
    kind = {"content-type": "application/json"}
    assert client.post("/v1/similar", content=good[:-1], headers=kind).status_code == 400
    for method in ("PUT", "DELETE", "PATCH"):
        assert client.request(method, "/v1/similar", content=good, headers=kind).status_code == 405


def test_what_is_too_much_is_refused_and_not_asked_again() -> None:
    """The framework's route would wait in the same queue a second time."""

    class Full:
        async def nearest(self, seed: str, k: int, after_sequence: int) -> None:
            raise Overloaded("7 searches are waiting already", 3)

    class ActiveModel:
        async def canary_for(self, scope: Scope, own: Full) -> None:
            """Nobody is answered by another model."""

    @dataclass
    class Services:
        similar: Full
        live: ActiveModel
        limits: Limits

    async def framework(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("it was asked again")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"services": Services(Full(), ActiveModel(), Limits())}
        await NearestRoute(framework)(scope, receive, send)

    answer = TestClient(app).get("/v1/streamers/s4/similar")
    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    assert answer.headers["retry-after"] == "3"


def test_an_index_of_a_history_that_was_lost_has_no_write_of_the_present_one(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, may_scan = RedisStore.scan, asyncio.Event()
    may_scan.set()

    async def held(store: RedisStore, chunk: int = 1000) -> AsyncGenerator[list[IndexEntry], None]:
        await may_scan.wait()
        async for entries in scan(store, chunk):
            yield entries

    monkeypatch.setattr(RedisStore, "scan", held)
    settings = Settings(bundle=bundle, data_dir=tmp_path, limits=Limits(visible_timeout_ms=50))
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        profiles = [{"streamer_id": name, "bio": "soup"} for name in "abc"]
        wait_until_visible(client, put_all(client, profiles))
        assert client.portal is not None
        client.portal.call(may_scan.clear)
        with inside(tmp_path) as store:
            store.flushall()
        last = put(client, "a", bio="soup")
        path = "/v1/streamers/a/similar"
        wait_until(lambda: "built anew" in client.get(path).text, "the loss is noticed")
        answer = client.get(path, params={"k": 3, "after_sequence": last})
        assert (answer.status_code, answer.json()["code"]) == (503, "not_yet_visible")
        client.portal.call(may_scan.set)
        wait_until(lambda: "built anew" not in client.get(path).text, "it is built anew")
