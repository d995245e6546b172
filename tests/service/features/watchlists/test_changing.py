"""Name, probability and mode of a watchlist are changed, and its seeds stay as they were read."""

import asyncio
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.client import AsyncClient
from service.features.watchlists.records import SEEDS, SEEDS_OF
from service.store.documents import DocumentStore, Put
from tests.service.conftest import put
from tests.service.features.watchlists.test_watchlists import CHESS, NOODLES, create, seeds
from tests.service.http.test_bad_input import problem
from tests.service.process import wait_until


def alerts(client: TestClient, made: dict[str, Any], mode: str = "on") -> list[str]:
    query = {"watchlist_id": made["watchlist_id"], "mode": mode}
    return [a["streamer_id"] for a in client.get("/v1/alerts", params=query).json()["alerts"]]


def change(client: TestClient, made: dict[str, Any], headers: Any = None, **body: Any) -> Any:
    path = f"/v1/watchlists/{made['watchlist_id']}"
    return client.patch(path, json=body, headers=headers)


def test_a_list_is_turned_on_whose_seed_was_deleted(client: TestClient) -> None:
    """As banned accounts are; to put it again would be refused."""
    put(client, "seed", bio=NOODLES)
    made = create(client, "seed", mode="shadow")
    client.delete("/v1/streamers/seed").raise_for_status()
    wanted = {"name": "l", "min_probability": 0.9, "positive": seeds("seed"), "mode": "on"}
    path = f"/v1/watchlists/{made['watchlist_id']}"
    assert client.put(path, json=wanted).status_code == 404
    put(client, "copy", bio=NOODLES)
    wait_until(lambda: alerts(client, made, "shadow") == ["copy"], "alerts")
    assert alerts(client, made) == []
    answer = change(client, made, mode="on")
    assert answer.status_code == 200, answer.text
    changed = answer.json()
    assert answer.headers["ETag"] == f'"{changed["revision"]}"'
    kept = ("name", "min_probability", "positive", "negative", "created_at")
    assert {n: changed[n] for n in kept} == {n: made[n] for n in kept}
    assert (changed["mode"], changed["version"]) == ("on", 2)
    assert client.get(path).json()["positive"] == changed["positive"]
    wait_until(lambda: alerts(client, made) == ["copy"], "alerts")
    put(client, "next", bio=NOODLES)
    wait_until(lambda: alerts(client, made) == ["copy", "next"], "alerts")


def test_name_and_probability_are_changed_alone(client: TestClient) -> None:
    made = create(client, CHESS)
    named = change(client, made, name=" chess ").json()
    assert (named["name"], named["mode"], named["min_probability"]) == ("chess", "on", 0.9)
    surer = change(client, made, {"If-Match": f'"{named["revision"]}"'}, min_probability=0.99)
    assert (surer.json()["name"], surer.json()["min_probability"]) == ("chess", 0.99)
    stale = change(client, made, {"If-Match": f'"{made["revision"]}"'}, mode="shadow")
    assert (stale.status_code, stale.json()["code"]) == (412, "version_conflict")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ({"mode": None}, ""),
        ({"mode": "off"}, "/mode"),
        ({"name": "  "}, "/name"),
        ({"min_probability": 1.5}, "/min_probability"),
        ({"positive": []}, "/positive"),
    ],
)
def test_what_is_wrong_is_named(client: TestClient, body: dict[str, Any], pointer: str) -> None:
    made = create(client, CHESS)
    found = problem(change(client, made, **body), 422, "invalid_request")
    assert [each["pointer"] for each in found["errors"]] == [pointer]
    assert client.get(f"/v1/watchlists/{made['watchlist_id']}").json()["version"] == 1


def test_a_list_that_is_not_there(client: TestClient) -> None:
    answer = change(client, {"watchlist_id": f"wl-{'0' * 24}"}, mode="on")
    assert (answer.status_code, answer.json()["code"]) == (404, "watchlist_not_found")


def test_what_was_erased_in_between_stays_erased(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(client, "seed", bio=NOODLES)
    made = create(client, "seed")
    services = client.app_state["services"]  # type: ignore[attr-defined]
    documents: DocumentStore = services.watchlists._documents
    store, calls = documents.change, list[int]()

    async def erased_before(puts: Any, *rest: Any) -> list[int]:
        if not calls and any(each.collection == SEEDS for each in puts):
            calls.append(1)
            (stored,) = await documents.get(SEEDS, [made["watchlist_id"]])
            assert stored is not None
            known = SEEDS_OF.validate_json(stored.body)
            gone = stored.body.replace(NOODLES.encode(), b"-")
            assert known.version == 1
            await store([Put(SEEDS, made["watchlist_id"], gone, stored.revision)])
        return await store(puts, *rest)

    monkeypatch.setattr(documents, "change", erased_before)
    assert change(client, made, mode="shadow").status_code == 200
    assert calls == [1]

    async def seeds_now() -> bytes:
        (stored,) = await documents.get(SEEDS, [made["watchlist_id"]])
        assert stored is not None
        return stored.body

    body = client.portal.call(seeds_now)  # type: ignore[union-attr]
    assert NOODLES.encode() not in body
    assert SEEDS_OF.validate_json(body).version == 2


def test_the_client_changes_a_list(serve: Any) -> None:
    service = serve()

    async def scenario() -> None:
        async with AsyncClient(service.url) as client:
            given = {"name": "l", "positive": seeds(NOODLES), "min_probability": 0.9}
            made = await client.watchlists.create(given)
            found = await client.watchlists.change(
                made.watchlist_id, {"mode": "shadow"}, if_revision=made.revision
            )
            assert (found.mode, found.version) == ("shadow", 2)

    asyncio.run(scenario())
