"""The short way to the k nearest answers as the framework's route does, or leaves it to that."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from starlette.types import Receive, Scope, Send

from service.api.nearest import NearestRoute
from tests.service.api.conftest import put, wait_until_visible

SHORT = ["", "?k=1", "?k=3", "?k=1000"]
LEFT_ALONE = [
    "?k=0",
    "?k=1001",
    "?k=03",
    "?k=3&explain=false",
    "?k=3&k=4",
    "?exact=true",
    "?after_sequence=1",
    "?min_score=0.5",
    "?k=%33",
    "?unknown=1",
]


@pytest.fixture
def passed(client: TestClient) -> Callable[[str], bool]:
    """Whether the short way leaves a path to the framework, with this service's state."""

    def ask(path: str) -> bool:
        left: list[str] = []

        async def framework(scope: Scope, receive: Receive, send: Send) -> None:
            left.append(scope["path"])
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope["state"] = {"service": client.app_state["service"]}  # type: ignore[attr-defined]
            await NearestRoute(framework)(scope, receive, send)

        TestClient(app).get(path)
        return bool(left)

    return ask


def fill(client: TestClient) -> None:
    last = 0
    for i in range(30):
        last = put(
            client, f"s{i}", tags=["cooking", ("gaming", "music", "travel")[i % 3]], bio="soup"
        )
    put(client, "shows.nothing")
    wait_until_visible(client, last + 1)


@pytest.mark.parametrize("query", SHORT)
def test_the_same_as_the_framework(
    client: TestClient, passed: Callable[[str], bool], query: str
) -> None:
    fill(client)
    path = f"/v1/streamers/s4/similar{query}"
    assert not passed(path) or query == "?k=1000"  # so many take a while
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
    assert len(ours["hits"]) == min(int(query[3:] or 10), 29)
    assert ours["hits"][0]["precision"] is not None


@pytest.mark.parametrize("query", LEFT_ALONE)
def test_what_is_not_ordinary_is_left_alone(
    client: TestClient, passed: Callable[[str], bool], query: str
) -> None:
    fill(client)
    assert passed(f"/v1/streamers/s4/similar{query}")


@pytest.mark.parametrize(
    ("streamer_id", "status"), [("nobody", 404), ("shows.nothing", 422), ("..", 422), ("a b", 422)]
)
def test_errors_are_the_frameworks(client: TestClient, streamer_id: str, status: int) -> None:
    fill(client)
    answer = client.get(f"/v1/streamers/{streamer_id.replace('..', '%2E%2E')}/similar")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_other_methods_are_the_frameworks(client: TestClient) -> None:
    fill(client)
    assert client.post("/v1/streamers/s4/similar").status_code == 405
    assert client.get("/v1/streamers/s4").status_code == 200
