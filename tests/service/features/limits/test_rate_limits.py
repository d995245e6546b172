"""Rate limits over HTTP: headers, 429 for each scope, what requests cost, what is never limited.

The window is a day, so that no unit comes back while a test runs.
"""

import json
import re
from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from service.app import create_app
from service.scopes import LIMITED_SCOPES
from service.settings import Settings
from tests.bundles import DIM
from tests.service.conftest import put, wait_until_visible
from tests.service.features.keys.conftest import FIRST_KEY, bearer, create
from tests.service.features.keys.test_route_scopes import ROUTES, ask, needed
from tests.service.features.operations.test_metrics import scraped
from tests.service.features.transfers.waiting import submitted
from tests.service.http.test_bad_input import problem
from tests.service.process import ROOT, wait_until

WINDOW_S = 86_400
LIMIT = 1000
SIMILAR = "/v1/streamers/a/similar"


@pytest.fixture(scope="module")
def limited(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Asked with the first admin key unless a test gives another."""
    fields = {"bundle": bundle, "data_dir": tmp_path_factory.mktemp("limits"), "api_key": FIRST_KEY}
    limits = {scope.replace(":", "_"): LIMIT for scope in LIMITED_SCOPES}
    settings = Settings.model_validate({**fields, "rate_limits": {"window_s": WINDOW_S, **limits}})
    headers = bearer(FIRST_KEY)
    with TestClient(create_app(settings), base_url="http://localhost", headers=headers) as client:
        put(client, "b", tags=["cooking"])
        wait_until_visible(client, put(client, "a", tags=["cooking"]))
        yield client


def key_with(client: TestClient, *scopes: str, **limits: int) -> dict[str, str]:
    """Headers of a new key."""
    own = {"limits": {name.replace("_", ":"): units for name, units in limits.items()}}
    return bearer(create(client, scopes=list(scopes), **(own if limits else {}))["key"])


def left(answer: Any) -> dict[str, int]:
    """Units left, by scope, as the header tells."""
    found: dict[str, int] = {}
    for item in answer.headers.get("RateLimit", "").split(", "):
        name, r, t = item.split(";")
        assert r.startswith("r=")
        assert int(t.removeprefix("t=")) >= 1
        found[json.loads(name)] = int(r.removeprefix("r="))
    return found


def test_headers_tell_the_limit_and_what_is_left(limited: TestClient) -> None:
    headers = key_with(limited, "search", "streamers:read")
    for expected in (LIMIT - 1, LIMIT - 2):
        answer = limited.get(SIMILAR, headers=headers)
        assert answer.status_code == 200
        assert answer.headers["RateLimit-Policy"] == f'"search";q={LIMIT};w={WINDOW_S}'
        assert left(answer) == {"search": expected}
    assert answer.headers["RateLimit"] == f'"search";r={LIMIT - 2};t=87'  # 86.4 s are one unit
    # Also with the framework's route, and with an error.
    assert left(limited.get(f"{SIMILAR}?explain=false", headers=headers)) == {"search": LIMIT - 3}
    answer = limited.get("/v1/streamers/nobody/similar", headers=headers)
    assert (answer.status_code, left(answer)) == (404, {"search": LIMIT - 4})
    assert left(limited.get("/v1/streamers/a", headers=headers)) == {"streamers:read": LIMIT - 1}


def test_who_is_not_limited_is_told_nothing(client: TestClient, limited: TestClient) -> None:
    for answer in (
        client.get("/v1/streamers"),  # without keys
        limited.get("/v1/keys"),
        limited.get("/livez"),
        limited.get("/v1/streamers", headers=bearer("wrong")),
        limited.get("/v1/nothing"),
        limited.get("/v1/streamers", headers=key_with(limited, "streamers:read", streamers_read=0)),
    ):
        assert not {"RateLimit", "RateLimit-Policy"} & set(answer.headers.keys())


def test_a_limit_that_is_used_up(limited: TestClient) -> None:
    headers = key_with(limited, "search", search=2)
    for path in (SIMILAR, f"{SIMILAR}?exact=false"):
        assert limited.get(path, headers=headers).status_code == 200
    for path in (SIMILAR, f"{SIMILAR}?exact=false", "/v1/streamers/nobody/similar"):
        answer = limited.get(path, headers=headers)
        detail = problem(answer, 429, "rate_limited")["detail"]
        assert "used up 2 units of 'search' in 86400 s; ask again in 4" in detail
        assert 43_000 < int(answer.headers["Retry-After"]) <= 43_200
        assert answer.headers["RateLimit"] == f'"search";r=0;t={answer.headers["Retry-After"]}'
        assert answer.headers["RateLimit-Policy"] == '"search";q=2;w=86400'
        assert "WWW-Authenticate" not in answer.headers
    assert limited.get(SIMILAR).status_code == 200  # with another key


@pytest.mark.slow
@pytest.mark.parametrize("scope", sorted(LIMITED_SCOPES))
def test_every_route_of_a_scope_is_limited(limited: TestClient, scope: str) -> None:
    routes = [(method, path) for method, path, route in ROUTES if needed(route) == scope]
    if scope == "explain":  # which no route needs for everything
        headers = key_with(limited, "search", "explain", explain=1)
        assert limited.get(f"{SIMILAR}?explain=true&k=1", headers=headers).status_code == 200
        answer = limited.get(f"{SIMILAR}?explain=true&k=1", headers=headers)
        assert "'explain'" in problem(answer, 429, "rate_limited")["detail"]
        assert left(answer) == {"search": LIMIT - 2, "explain": 0}
        assert limited.get(SIMILAR, headers=headers).status_code == 200
        return
    before = _refused(limited, scope)
    for method, path in routes:
        headers = bearer(create(limited, scopes=[scope], limits={scope: 1})["key"])
        assert ask(limited, method, path, headers=headers).status_code != 429
        answer = ask(limited, method, path, headers=headers)
        assert f"{scope!r}" in problem(answer, 429, "rate_limited")["detail"]
    assert _refused(limited, scope) == before + len(routes)


def _refused(client: TestClient, scope: str) -> float:
    return scraped(client)["streamer_rate_limited_total", frozenset({("scope", scope)})]


@pytest.mark.slow
def test_keys_are_revoked_whatever_else_is_used_up(
    limited: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limited.app, "openapi_schema", {"made": "before"})  # it takes a second
    limits = {scope: 1 for scope in LIMITED_SCOPES}  # noqa: C420
    admin = create(limited, role="admin", limits=limits)
    headers = bearer(admin["key"])
    for scope in ("search", "streamers:read"):
        path = SIMILAR if scope == "search" else "/v1/streamers"
        assert limited.get(path, headers=headers).status_code == 200
        problem(limited.get(path, headers=headers), 429, "rate_limited")
    for _ in range(20):
        assert limited.get("/v1/keys", headers=headers).status_code == 200
    made = limited.post("/v1/keys", json={"name": "x", "role": "admin"}, headers=headers)
    assert made.status_code == 201
    for path in ("/livez", "/readyz", "/startupz", "/metrics", "/docs", "/openapi.json"):
        assert limited.get(path, headers=headers).status_code == 200
    revoked = limited.delete(f"/v1/keys/{admin['key_id']}", headers=headers)
    assert revoked.status_code == 200
    problem(limited.get("/v1/keys", headers=headers), 401, "unauthorized")


PROFILE = {"tags": ["cooking"]}
VECTOR = {"vector": [1.0] * DIM}
SELECT = "/v1/layouts/current:select"
ITEM = {"streamer_id": "x", "tags": ["cooking"]}


@pytest.mark.parametrize(
    ("method", "path", "body", "cost"),
    [
        ("GET", SIMILAR, None, {"search": 1}),
        ("GET", f"{SIMILAR}?k=100", None, {"search": 1}),
        ("GET", f"{SIMILAR}?k=101", None, {"search": 2}),
        ("GET", f"{SIMILAR}?k=1000", None, {"search": 10}),
        ("GET", f"{SIMILAR}?exact=true", None, {"search": 11}),
        ("GET", f"{SIMILAR}?explain=true&k=7", None, {"search": 1, "explain": 7}),
        ("GET", f"{SIMILAR}?k=1001", None, {"search": 1}),  # is refused
        ("GET", f"{SIMILAR}?explain=true&k=51", None, {"search": 1}),  # is refused
        ("POST", "/v1/similar", {"positive": [VECTOR]}, {"search": 1}),
        ("POST", "/v1/similar", {"positive": [VECTOR], "k": 500}, {"search": 5}),
        ("POST", "/v1/similar", {"positive": [{"profile": PROFILE}]}, {"search": 6}),
        (
            "POST",
            "/v1/similar",
            {"positive": [VECTOR] * 10, "negative": [{"streamer_id": "b"}], "explain": True},
            {"search": 2, "explain": 10},
        ),
        ("POST", "/v1/similar", {"positive": [VECTOR], "exact": True}, {"search": 11}),
        (
            "POST",
            "/v1/similar",
            {"positive": [VECTOR], "pages": True, "min_score": 0.9},
            {"search": 100},
        ),
        ("POST", "/v1/similar", {"positive": []}, {"search": 1}),  # is refused
        (
            "POST",
            "/v1/similar/export",
            {"positive": [{"profile": PROFILE}], "min_score": 0.9},
            {"search": 105},
        ),
        ("POST", "/v1/cold-start", {"streamer_id": "a"}, {"coldstart": 1}),
        ("POST", "/v1/cold-start", {"profile": PROFILE, "neighbours": 101}, {"coldstart": 7}),
        ("POST", "/v1/dedup", {"ids": ["a", "b"]}, {"duplicates": 1}),
        ("POST", "/v1/dedup", {"ids": ["a", "b"] * 10 + ["a"]}, {"duplicates": 3}),
        (
            "POST",
            "/v1/dedup",
            {"profiles": [ITEM, {**ITEM, "streamer_id": "y"}]},
            {"duplicates": 11},
        ),
        (
            "POST",
            "/v1/compare",
            {"a": {"streamer_id": "a"}, "b": {"streamer_id": "b"}},
            {"explain": 1},
        ),
        (
            "POST",
            "/v1/compare",
            {"a": {"streamer_id": "a"}, "b": {"profile": PROFILE}},
            {"explain": 6},
        ),
        ("POST", SELECT, {"near": {"x": 1, "y": 1}, "limit": 101}, {"search": 2}),
        ("POST", SELECT, {"polygon": [[1, 1], [9, 1], [9, 9]]}, {"search": 1}),
        ("POST", SELECT, {"polygon": [[i, i % 7] for i in range(500)]}, {"search": 50}),
        ("GET", "/v1/streamers", None, {"streamers:read": 1}),
        ("GET", "/v1/streamers?limit=1000", None, {"streamers:read": 10}),
        ("GET", "/v1/streamers/a", None, {"streamers:read": 1}),
        ("PUT", "/v1/streamers/c", PROFILE, {"streamers:write": 1}),
        ("GET", "/v1/streamers/a/embedding", None, {"embeddings:read": 1}),
    ],
)
def test_what_a_request_costs(
    limited: TestClient, method: str, path: str, body: object, cost: dict[str, int]
) -> None:
    headers = bearer(create(limited, role="admin")["key"])
    answer = limited.request(method, path, json=body, headers=headers)
    assert left(answer) == {scope: LIMIT - units for scope, units in cost.items()}, answer.text


def test_a_bulk_write_costs_the_same_whatever_its_length(limited: TestClient) -> None:
    headers = {**key_with(limited, "streamers:write"), "Content-Type": "application/x-ndjson"}
    answer = limited.post("/v1/streamers:bulk", content=b"[]\n" * 50, headers=headers)
    assert answer.status_code == 200
    assert left(answer) == {"streamers:write": LIMIT - 100}


def test_what_costs_more_than_is_left_is_owed(limited: TestClient) -> None:
    headers = key_with(limited, "search", search=10)
    body: dict[str, Any] = {"positive": [VECTOR], "min_score": 0.99}
    answer = limited.post("/v1/similar/export", json=body, headers=headers)
    assert (answer.status_code, left(answer)) == (200, {"search": 0})
    answer = limited.post("/v1/similar/export", json=body, headers=headers)
    problem(answer, 429, "rate_limited")
    assert 90 * 8640 < int(answer.headers["Retry-After"]) <= 91 * 8640


def test_nothing_of_a_body_is_read_where_the_limit_is_used_up(limited: TestClient) -> None:
    headers = key_with(limited, "search", search=1)
    assert limited.get(SIMILAR, headers=headers).status_code == 200

    async def receive() -> dict[str, Any]:
        raise AssertionError("the body was read")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    request: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/v1/similar",
        "query_string": b"",
        "headers": [
            (b"host", b"localhost"),
            (b"authorization", headers["Authorization"].encode()),
            (b"content-length", b"10"),
            (b"content-type", b"application/json"),
        ],
        "state": dict(limited.app_state),
    }
    assert limited.portal is not None
    app: Any = limited.app
    limited.portal.call(app, request, receive, send)
    assert sent[0]["status"] == 429


@pytest.mark.parametrize(
    ("limits", "pointer"),
    [
        ({"admin": 5}, "/limits/admin/[key]"),
        ({"nothing": 5}, "/limits/nothing/[key]"),
        ({"search": -1}, "/limits/search"),
        ({"search": 1.5}, "/limits/search"),
        ({"search": 10**9}, "/limits/search"),
        ([], "/limits"),
    ],
)
def test_limits_that_no_key_can_have(limited: TestClient, limits: object, pointer: str) -> None:
    body = {"name": "x", "scopes": ["search"], "limits": limits}
    answer = limited.post("/v1/keys", json=body)
    assert problem(answer, 422, "invalid_request")["errors"][0]["pointer"] == pointer


def test_a_key_shows_its_limits(limited: TestClient) -> None:
    made = create(limited, scopes=["search"], limits={"search": 5, "cases": 0})
    assert made["limits"] == {"search": 5, "cases": 0}
    (listed,) = [
        key
        for key in limited.get("/v1/keys?limit=1000").json()["keys"]
        if key["key_id"] == made["key_id"]
    ]
    assert listed["limits"] == made["limits"]
    rotated = limited.post(f"/v1/keys/{made['key_id']}:rotate", json={})
    assert rotated.json()["limits"] == made["limits"]
    assert create(limited, scopes=["search"])["limits"] == {}


def test_a_line_of_a_batch_that_is_refused_costs_a_unit(limited: TestClient) -> None:
    headers = key_with(limited, "coldstart") | {"Content-Type": "application/x-ndjson"}
    asked = [{"streamer_id": "a", "users": users} for users in (10**12, 10**400, 0)]
    body = "\n".join(map(json.dumps, asked))
    answer = limited.post("/v1/cold-start:batch", content=body, headers=headers)
    assert answer.status_code == 200
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line.get("problem", {}).get("code") for line in lines] == [
        *["invalid_request"] * 2,
        None,
    ]
    assert left(answer) == {"coldstart": LIMIT - 3}
    no_line = limited.post("/v1/cold-start:batch", content="\n", headers=headers)
    assert (no_line.status_code, left(no_line)) == (422, {"coldstart": LIMIT - 4})


def test_a_job_that_is_retried_costs_as_one_that_begins(limited: TestClient) -> None:
    headers = key_with(limited, "search", "streamers:read", streamers_read=0)
    question = {"positive": [{"streamer_id": "nobody"}], "min_score": 0.5}
    later = headers | {"Prefer": "respond-async"}
    begun = limited.post("/v1/similar/export", json=question, headers=later)
    path = submitted(begun)

    def has_failed() -> bool:
        return limited.get(path, headers=headers).json()["state"] == "failed"

    wait_until(has_failed, "nobody is found")
    retried = limited.post(path + ":retry", headers=headers)
    assert retried.status_code == 200
    assert (left(begun), left(retried)) == ({"search": LIMIT - 100}, {"search": LIMIT - 200})


def test_each_route_that_charges_more_than_a_unit_is_in_the_table(bundle: Path) -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    table = page.partition("| request | scope | units |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`(?:[A-Z]+ )?(/v1/[^`]+)`", table))
    app = create_app(Settings(bundle=bundle))
    charging = {
        route.path_format
        for route in app.routes
        if isinstance(route, APIRoute) and "charges" in signature(route.endpoint).parameters
    }
    assert charging == named
