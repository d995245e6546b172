"""`/v1/keys` over HTTP, and what callers with few scopes are shown."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.scopes import ROLES
from service.settings import Settings
from tests.service.conftest import put
from tests.service.features.keys.conftest import bearer, create, unused
from tests.service.http.test_bad_input import pointers, problem
from tests.service.process import ROOT


def test_a_key_is_shown_once(guarded: TestClient) -> None:
    body = {"name": " recommender, nightly ", "role": "recommender"}
    answer = guarded.post("/v1/keys", json=body)
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    made = answer.json()
    assert re.fullmatch(rf"ssk_{made['key_id']}_[0-9a-f]{{72}}", made["key"])
    assert made["name"] == "recommender, nightly"
    assert made["scopes"] == sorted(ROLES["recommender"])
    assert (made["role"], made["expires_at"], made["previous_until"]) == ("recommender", None, None)
    (listed,) = [key for key in _all(guarded) if key["key_id"] == made["key_id"]]
    assert listed == {**{k: v for k, v in made.items() if k != "key"}, "last_used_at": None}
    assert made["key"] not in guarded.get("/v1/keys?limit=1000").text
    assert guarded.get("/v1/streamers", headers=bearer(made["key"])).status_code == 200


def test_a_key_is_made_once_by_the_name_of_its_request(guarded: TestClient) -> None:
    body, headers = {"name": "once", "scopes": ["streamers:read"]}, {"Idempotency-Key": '"k-1"'}
    made = guarded.post("/v1/keys", json=body, headers=headers).json()
    again = guarded.post("/v1/keys", json=body, headers=headers)
    said = problem(again, 409, "key_text_not_kept")
    assert made["key_id"] in said["detail"]
    assert made["key"] not in again.text
    other = guarded.post("/v1/keys", json={**body, "name": "other"}, headers=headers)
    problem(other, 422, "idempotency_key_reused")
    assert [key["name"] for key in _all(guarded)].count("once") == 1
    assert guarded.get("/v1/streamers", headers=bearer(made["key"])).status_code == 200


def test_a_request_that_comes_late_brings_no_revoked_key_back(guarded: TestClient) -> None:
    body, headers = {"name": "late", "scopes": ["streamers:read"]}, {"Idempotency-Key": '"k-2"'}
    made = guarded.post("/v1/keys", json=body, headers=headers).json()
    guarded.delete(f"/v1/keys/{made['key_id']}").raise_for_status()
    for _ in range(2):
        again = guarded.post("/v1/keys", json=body, headers=headers)
        said = problem(again, 409, "key_text_not_kept")
        assert f"{made['key_id']} its text" in said["detail"]
        assert "revoked since" in said["detail"]
    assert "late" not in [key["name"] for key in _all(guarded)]
    assert guarded.get("/v1/streamers", headers=bearer(made["key"])).status_code == 401
    path = f"/v1/keys/{made['key_id']}:rotate"
    problem(guarded.post(path, headers={"Idempotency-Key": '"r-0"'}), 404, "key_not_found")
    another = guarded.post("/v1/keys", json=body, headers={"Idempotency-Key": '"k-3"'})
    assert another.status_code == 201
    assert another.json()["key_id"] != made["key_id"]


def test_every_rotation_is_known_when_it_comes_again(guarded: TestClient) -> None:
    first = create(guarded, scopes=["streamers:read"])
    path = f"/v1/keys/{first['key_id']}:rotate"

    def rotate(name: str) -> Any:
        return guarded.post(path, headers={"Idempotency-Key": f'"{name}"'})

    keys = [rotate(name).raise_for_status().json()["key"] for name in ("one", "two", "three")]
    for name in ("one", "two", "three"):
        problem(rotate(name), 409, "key_text_not_kept")
    for key, status in zip(keys, (401, 200, 200), strict=True):
        assert guarded.get("/v1/streamers", headers=bearer(key)).status_code == status


def test_a_rotation_that_is_sent_again_leaves_the_text_in_use(guarded: TestClient) -> None:
    first = create(guarded, scopes=["streamers:read"])
    path, headers = f"/v1/keys/{first['key_id']}:rotate", {"Idempotency-Key": '"r-1"'}
    second = guarded.post(path, headers=headers).json()
    problem(guarded.post(path, headers=headers), 409, "key_text_not_kept")
    problem(guarded.post(path, json={"grace_s": 1}, headers=headers), 422, "idempotency_key_reused")
    for key in (first["key"], second["key"]):
        assert guarded.get("/v1/streamers", headers=bearer(key)).status_code == 200
    third = guarded.post(path, headers={"Idempotency-Key": '"r-2"'}).json()
    for key, status in ((first["key"], 401), (second["key"], 200), (third["key"], 200)):
        assert guarded.get("/v1/streamers", headers=bearer(key)).status_code == status


def _all(client: TestClient) -> list[dict]:
    found, cursor = [], {}
    while True:
        page = client.get("/v1/keys", params={"limit": 2, **cursor}).json()
        found += page["keys"]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


def test_pages_show_every_key_once(guarded: TestClient) -> None:
    made = {create(guarded, scopes=["search"])["key_id"] for _ in range(5)}
    ids = [key["key_id"] for key in _all(guarded)]
    assert ids == sorted(set(ids))
    assert made <= set(ids)


def test_rotate_and_revoke(guarded: TestClient) -> None:
    first = create(guarded, scopes=["streamers:read"], expires_at="2030-01-31T08:00:00+08:00")
    assert first["expires_at"] == "2030-01-31T00:00:00Z"
    answer = guarded.post(f"/v1/keys/{first['key_id']}:rotate")
    assert answer.status_code == 200
    second = answer.json()
    until = datetime.fromisoformat(second["previous_until"]) - datetime.now(UTC)
    assert until.total_seconds() == pytest.approx(86_400, abs=600)
    assert {**second, "key": "", "previous_until": None} == {**first, "key": ""}
    for key in (first["key"], second["key"]):
        assert guarded.get("/v1/streamers", headers=bearer(key)).status_code == 200
    renew = {"grace_s": 0, "expires_at": "2031-01-01T00:00:00Z"}
    third = guarded.post(f"/v1/keys/{first['key_id']}:rotate", json=renew).json()
    assert third["expires_at"] == "2031-01-01T00:00:00Z"
    for key, status in ((first["key"], 401), (second["key"], 401), (third["key"], 200)):
        assert guarded.get("/v1/streamers", headers=bearer(key)).status_code == status
    answer = guarded.delete(f"/v1/keys/{first['key_id']}")
    assert answer.json() == {"key_id": first["key_id"]}
    problem(guarded.get("/v1/streamers", headers=bearer(third["key"])), 401, "unauthorized")
    problem(guarded.delete(f"/v1/keys/{first['key_id']}"), 404, "key_not_found")
    problem(guarded.post(f"/v1/keys/{first['key_id']}:rotate"), 404, "key_not_found")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"role": "recommender"}, "/name"),
        ({"name": " ", "role": "recommender"}, "/name"),
        ({"name": "x" * 101, "role": "recommender"}, "/name"),
        ({"name": "two\nlines", "role": "recommender"}, "/name"),
        ({"name": "\ud800", "role": "recommender"}, "/name"),
        ({"name": "x"}, ""),
        ({"name": "x", "role": "recommender", "scopes": ["search"]}, ""),
        ({"name": "x", "role": "root"}, "/role"),
        ({"name": "x", "scopes": []}, "/scopes"),
        ({"name": "x", "scopes": ["search", "everything"]}, "/scopes/1"),
        ({"name": "x", "role": "admin", "expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"name": "x", "role": "admin", "expires_at": "2030-01-01T00:00:00"}, "/expires_at"),
        ({"name": "x", "role": "admin", "expires_at": "9999-12-31T23:59:59Z"}, "/expires_at"),
        ({"name": "x", "role": "admin", "expires_at": 4_000_000_000}, "/expires_at"),
        ({"name": "x", "role": "admin", "key": "mine"}, "/key"),
    ],
)
def test_a_wrong_field_is_named(guarded: TestClient, fields: dict, pointer: str) -> None:
    before = unused(guarded)
    content, kind = json.dumps(fields), {"Content-Type": "application/json"}
    answer = guarded.post("/v1/keys", content=content, headers=kind)
    assert pointers(problem(answer, 422, "invalid_request")) == [pointer]
    assert unused(guarded) == before


@pytest.mark.parametrize("grace", [-1, 30 * 86_400 + 1, "long"])
def test_a_wrong_grace(guarded: TestClient, grace: object) -> None:
    key = create(guarded, role="operations")
    answer = guarded.post(f"/v1/keys/{key['key_id']}:rotate", json={"grace_s": grace})
    assert pointers(problem(answer, 422, "invalid_request")) == ["/grace_s"]
    for key_id in ("nobody", "0123456789AB", "0123456789abc"):
        problem(guarded.delete(f"/v1/keys/{key_id}"), 422, "invalid_request")
    problem(guarded.get("/v1/keys?cursor=x"), 422, "invalid_request")


@pytest.mark.slow
def test_a_first_key_closes_a_service_without_keys(bundle: Path, tmp_path: Path) -> None:
    settings = Settings(bundle=bundle, data_dir=tmp_path / "data")
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        assert client.get("/v1/streamers").status_code == 200
        for fields, pointer in (
            ({"role": "recommender"}, "/role"),
            ({"scopes": ["search"]}, "/scopes"),
        ):
            answer = client.post("/v1/keys", json={"name": "x", **fields})
            assert pointers(problem(answer, 422, "invalid_request")) == [pointer]
        assert client.get("/v1/streamers").status_code == 200
        made = create(client, role="admin")
        problem(client.get("/v1/streamers"), 401, "unauthorized")
        known = bearer(made["key"])
        elsewhere = {**known, "Host": "api.example.org"}
        assert client.get("/v1/streamers", headers=elsewhere).status_code == 200
        assert client.delete(f"/v1/keys/{made['key_id']}", headers=known).status_code == 200
        problem(client.get("/v1/streamers"), 401, "unauthorized")
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        problem(client.get("/v1/streamers"), 401, "unauthorized")


@pytest.mark.slow
def test_explanations_need_their_scope(guarded: TestClient) -> None:
    sequence = put(guarded, "a", tags=["cooking"])
    search = bearer(create(guarded, scopes=["search"])["key"])
    both = bearer(create(guarded, scopes=["search", "explain"])["key"])
    body = {"positive": [{"streamer_id": "a"}], "after_sequence": sequence}
    assert guarded.post("/v1/similar", json=body, headers=search).status_code == 200
    ordinary = {"positive": [{"streamer_id": "a"}], "k": 3}  # which is answered past the framework
    assert guarded.post("/v1/similar", json=ordinary, headers=search).status_code == 200
    for headers, status in ((search, 403), (both, 200)):
        answer = guarded.get("/v1/streamers/a/similar?explain=true", headers=headers)
        assert answer.status_code == status
        answer = guarded.post("/v1/similar", json={**body, "explain": True}, headers=headers)
        assert answer.status_code == status
    assert "'explain'" in guarded.get("/v1/streamers/a/similar?explain=1", headers=search).text
    guarded.delete("/v1/streamers/a").raise_for_status()


def test_a_vector_needs_its_scope(guarded: TestClient) -> None:
    profile = {"profile": {"tags": ["cooking"], "bio": "kitchen"}}
    without = bearer(create(guarded, scopes=["coldstart"])["key"])
    shown = guarded.post("/v1/cold-start", json=profile).json()
    hidden = guarded.post("/v1/cold-start", json=profile, headers=without).json()
    assert shown["id_embedding_unavailable_because"] is None
    assert hidden["id_embedding"]["vector"] is None
    assert {**hidden["id_embedding"], "vector": shown["id_embedding"]["vector"]} == shown[
        "id_embedding"
    ]
    assert "embeddings:read" in hidden["id_embedding_unavailable_because"]
    assert hidden["modalities"] == shown["modalities"]


def test_the_pages_tell_roles_and_scopes_as_they_are() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"(?m)^\| `(\w+)` \| ((?:`[\w:]+`(?:, )?)+|all) \|$", text))
    told = {
        role: set(re.findall(r"`([\w:]+)`", scopes)) if scopes != "all" else set(ROLES["admin"])
        for role, scopes in rows.items()
    }
    assert told == ROLES
    assert set(ROLES["admin"]) <= set(re.findall(r"(?m)^\| `([\w:]+)` \| ", text))
