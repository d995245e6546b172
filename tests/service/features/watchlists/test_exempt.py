"""Who raises no alert though it matches: seeds and cleared members, as they were."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.service.conftest import put
from tests.service.features.watchlists.test_watchlists import (
    CHESS,
    FISH,
    NOODLES,
    create,
    matched,
    seeds,
    swept,
    who,
)
from tests.service.process import wait_until


@pytest.fixture(scope="module")
def client(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(bundle=bundle, data_dir=tmp_path_factory.mktemp("data"))
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        yield client


@pytest.fixture(autouse=True)
def no_streamers(client: TestClient) -> Iterator[None]:
    yield
    for each in client.get("/v1/watchlists").json()["watchlists"]:
        client.delete(f"/v1/watchlists/{each['watchlist_id']}").raise_for_status()
    for each in client.get("/v1/streamers", params={"limit": 1000}).json()["streamers"]:
        client.delete(f"/v1/streamers/{each['streamer_id']}").raise_for_status()


def test_a_positive_seed_raises_nothing_until_it_is_nearer_to_another(client: TestClient) -> None:
    put(client, "a", bio=NOODLES)
    put(client, "b", bio=CHESS)
    list_id = create(client, "a", "b")["watchlist_id"]
    swept(client, list_id)
    put(client, "a", bio=NOODLES, attributes={"fans": 2})
    matched(client, put(client, "a", bio=NOODLES + " 关注我", tags=["new"]))
    assert who(client, list_id) == set()
    matched(client, put(client, "a", bio=CHESS))
    assert who(client, list_id) == {"a"}


def test_a_seed_that_was_erased_and_is_somebody_else_raises_one(client: TestClient) -> None:
    put(client, "a", bio=NOODLES)
    put(client, "b", bio=CHESS)
    list_id = create(client, "a", "b")["watchlist_id"]
    client.delete("/v1/streamers/a", params={"erase": True}).raise_for_status()
    put(client, "a", bio=CHESS)
    # An erasure cuts the log: where it was not read to there, a sweep finds who was written.
    wait_until(lambda: who(client, list_id) == {"a"}, "it is found")


def test_a_negative_seed_raises_one_once_it_is_a_copy_of_a_positive_one(
    client: TestClient,
) -> None:
    honest = f"{NOODLES[:17]} {FISH}"
    put(client, "a", bio=NOODLES)
    put(client, "n", bio=honest)
    made = create(client, "a", min_probability=0.01, negative=seeds("n"))
    swept(client, made["watchlist_id"])
    matched(client, put(client, "n", bio=honest, attributes={"fans": 2}))
    assert who(client, made["watchlist_id"]) == set()
    matched(client, put(client, "n", bio=NOODLES))
    assert who(client, made["watchlist_id"]) == {"n"}


def test_who_was_cleared_in_the_case_raises_nothing_with_that_content(client: TestClient) -> None:
    for name, more in (("a", ""), ("b", "一"), ("c", "二"), ("d", "三")):
        put(client, name, bio=NOODLES + more)
    case = client.post("/v1/cases", json={"title": "c", "seeds": ["a", "b", "c", "d"]}).json()
    path = f"/v1/cases/{case['case_id']}"
    for name, verdict in (("a", "confirmed"), ("b", "cleared"), ("d", "cleared")):
        headers = {"If-Match": client.get(path).headers["ETag"]}
        body = {"verdict": verdict}
        client.put(f"{path}/members/{name}", json=body, headers=headers).raise_for_status()
    made = create(client, {"case_id": case["case_id"]})
    assert made["cleared"] == ["b", "d"]
    swept(client, made["watchlist_id"])
    matched(client, put(client, "b", bio=NOODLES + "一", attributes={"fans": 2}))
    assert who(client, made["watchlist_id"]) == {"c"}
    matched(client, put(client, "b", bio=NOODLES))
    assert who(client, made["watchlist_id"]) == {"b", "c"}
    client.delete("/v1/streamers/d", params={"erase": True}).raise_for_status()
    shown = client.get(f"/v1/watchlists/{made['watchlist_id']}").json()
    assert shown["cleared"] == ["b"]
    put(client, "d", bio=NOODLES + "三")
    wait_until(lambda: who(client, made["watchlist_id"]) == {"b", "c", "d"}, "it is found")
