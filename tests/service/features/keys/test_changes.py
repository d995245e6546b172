"""`PATCH /v1/keys/{key_id}`: what a key may changes, its text stays, and one admin is left."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.errors import LastAdminKey
from service.features.keys.ring import StoredKeyRing
from service.features.keys.service import Changes, Keys
from service.settings import Settings
from tests.service.features.audit.logs import written
from tests.service.features.keys.conftest import bearer, create, unused
from tests.service.features.keys.memory_keys import MemoryKeys
from tests.service.http.test_bad_input import pointers, problem


def change(client: TestClient, key: dict[str, str], /, **fields: object) -> Any:
    return client.patch(f"/v1/keys/{key['key_id']}", json=fields)


def test_what_is_named_changes_and_the_rest_stays(guarded: TestClient, data_dir: Path) -> None:
    limits = {"search": 5, "explain": 6}
    key = create(guarded, scopes=["search"], expires_at="2030-01-31T00:00:00Z", limits=limits)
    asked = bearer(key["key"])
    problem(guarded.get("/v1/streamers", headers=asked), 403, "missing_scope")
    answer = change(guarded, key, scopes=["streamers:read"], limits={"search": None, "cases": 7})
    assert answer.status_code == 200, answer.text
    assert guarded.get("/v1/streamers", headers=asked).status_code == 200  # the same text
    problem(guarded.get("/v1/streamers/a/similar", headers=asked), 403, "missing_scope")
    changed = answer.json()
    expected = {**key, "scopes": ["streamers:read"], "limits": {"explain": 6, "cases": 7}}
    del expected["key"]
    assert {**changed, "last_used_at": None} == {**expected, "last_used_at": None}
    changed = change(guarded, key, name="another", role="recommender", expires_at=None).json()
    assert (changed["name"], changed["role"], changed["expires_at"]) == (
        "another",
        "recommender",
        None,
    )
    assert changed["limits"] == {"explain": 6, "cases": 7}
    assert change(guarded, key, limits=None, role=None, scopes=["search"]).json()["limits"] == {}
    entry = [e for e in written(data_dir) if e.get("method") == "PATCH"][-1]
    assert (entry["ids"], entry["action"]) == ([key["key_id"]], "change limits, role, scopes")
    problem(guarded.patch("/v1/keys/0123456789ab", json={"name": "x"}), 404, "key_not_found")


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({}, ""),
        ({"name": None}, ""),
        ({"name": " "}, "/name"),
        ({"role": "root"}, "/role"),
        ({"role": None}, ""),
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["everything"]}, "/scopes/0"),
        ({"role": "admin", "scopes": ["search"]}, ""),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "soon"}, "/expires_at"),
        ({"limits": {"search": -1}}, "/limits/search"),
        ({"limits": {"admin": 5}}, "/limits/admin/[key]"),
        ({"key": "mine"}, "/key"),
    ],
)
def test_a_wrong_field_is_named(guarded: TestClient, fields: dict[str, Any], pointer: str) -> None:
    key = create(guarded, scopes=["search"])
    before = unused(guarded)
    answer = change(guarded, key, **fields)
    assert pointers(problem(answer, 422, "invalid_request")) == [pointer], answer.text
    assert unused(guarded) == before


def test_the_last_admin_stays_one(bundle: Path, tmp_path: Path) -> None:
    settings = Settings(bundle=bundle, data_dir=tmp_path / "data")
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        first = create(client, role="admin")
        client.headers.update(bearer(first["key"]))
        said = problem(change(client, first, role="operations"), 409, "last_admin_key")["detail"]
        assert "create another admin first" in said
        assert change(client, first, name="renamed", limits={"search": 9}).status_code == 200
        assert change(client, first, scopes=["admin"]).status_code == 200
        create(client, role="admin")
        assert change(client, first, role="operations").status_code == 200
        problem(client.get("/v1/keys"), 403, "missing_scope")


def test_an_admin_of_the_settings_is_enough(guarded: TestClient) -> None:
    key = create(guarded, role="admin")
    assert change(guarded, key, role="operations").status_code == 200


@pytest.mark.anyio
async def test_of_two_admins_that_are_demoted_at_once_one_stays() -> None:
    class Raced(MemoryKeys):
        """Lets another demotion happen between the look at all keys and the write."""

        other: str | None = None

        async def all(self) -> dict[str, bytes]:
            found = await super().all()
            other, self.other = self.other, None
            if other is not None:
                await keys.update(other, Changes(role="operations"))
            return found

    store = Raced()
    keys = Keys(store)
    one, two = [await keys.create("x", "admin") for _ in range(2)]
    store.other = two.record.key_id
    with pytest.raises(LastAdminKey):
        await keys.update(one.record.key_id, Changes(role="operations"))
    ring = StoredKeyRing(store, None)
    await ring.refresh()
    assert "admin" in ring.caller_of(one.key).scopes
    assert "admin" not in ring.caller_of(two.key).scopes


@pytest.mark.anyio
async def test_an_admin_that_has_expired_is_none() -> None:
    now = 1000.0
    keys = Keys(MemoryKeys(), now=lambda: now)
    lasting = await keys.create("lasting", scopes=["admin", "search"])
    await keys.create("short", "admin", expires_at=now + 10)
    now += 20
    with pytest.raises(LastAdminKey):
        await keys.update(lasting.record.key_id, Changes(scopes=["search"]))


@pytest.mark.anyio
async def test_a_change_of_nothing_writes_nothing() -> None:
    store = MemoryKeys()
    keys = Keys(store)
    issued = await keys.create("x", "search-role", limits={"search": 5})
    before = store.records.copy(), store.changes
    listed = await keys.update(issued.record.key_id, Changes(name="x", limits={"cases": None}))
    assert (store.records, store.changes) == before
    assert json.loads(before[0][issued.record.key_id])["limits"] == listed.record.limits
