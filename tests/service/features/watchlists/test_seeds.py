"""Members of a case as seeds: who is not stored is named, and stays so."""

from typing import Any

from fastapi.testclient import TestClient

from tests.service.conftest import put
from tests.service.features.watchlists.test_watchlists import CHESS, FISH, NOODLES, create


def confirmed_case(client: TestClient, *names: str) -> str:
    """A case whose seeds are confirmed."""
    made = client.post("/v1/cases", json={"title": "c", "seeds": list(names)})
    assert made.status_code == 201, made.text
    path = f"/v1/cases/{made.json()['case_id']}"
    for name in names:
        headers = {"If-Match": client.get(path).headers["ETag"]}
        decided = {"verdict": "confirmed"}
        client.put(f"{path}/members/{name}", json=decided, headers=headers).raise_for_status()
    return made.json()["case_id"]


def ids(made: dict[str, Any]) -> list[str]:
    return [each["streamer_id"] for each in made["positive"]]


def test_confirmed_members_that_are_not_stored_are_named(client: TestClient) -> None:
    for name, bio in (("p-a", NOODLES), ("p-b", CHESS), ("p-c", FISH)):
        put(client, name, bio=bio)
    case_id = confirmed_case(client, "p-a", "p-b", "p-c")
    client.delete("/v1/streamers/p-b").raise_for_status()
    made = create(client, {"case_id": case_id})
    assert (ids(made), made["not_stored"]) == (["p-a", "p-c"], ["p-b"])
    path = f"/v1/watchlists/{made['watchlist_id']}"
    assert client.get(path).json()["not_stored"] == ["p-b"]
    renamed = client.patch(path, json={"name": "m"}).raise_for_status()
    assert renamed.json()["not_stored"] == ["p-b"]
    client.delete("/v1/streamers/p-c", params={"erase": True}).raise_for_status()
    assert client.get(path).json()["not_stored"] == ["p-b"]
    put(client, "p-b", bio=CHESS)
    wanted = {"name": "m", "min_probability": 0.9, "positive": [{"case_id": case_id}]}
    again = client.put(path, json=wanted).raise_for_status().json()
    assert (ids(again), again["not_stored"]) == (["p-a", "p-b"], ["p-c"])
    assert create(client, NOODLES)["not_stored"] == []
