"""The table of routes and scopes, tried route by route; and who is refused on every route."""

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from redis import Redis

from service.app import create_app
from service.features.keys.key_text import new_key
from service.http.auth.route_scopes import OrOneOf, RouteScopes, is_public, requires
from service.scopes import SCOPES
from service.settings import Settings
from tests.service.features.keys.conftest import bearer, create
from tests.service.http.test_bad_input import problem
from tests.service.process import wait_until

COMMITTED = Path(__file__).parents[4] / "docs" / "openapi.json"
"""The document of the routes, as another test sees."""
DOCUMENT: dict[str, Any] = json.loads(COMMITTED.read_text(encoding="utf-8"))
ROUTES = [
    (method.upper(), path, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
    if not is_public(path)
]
FILLED = {
    "streamer_id": "s-1",
    "key_id": "0123456789ab",
    "job_id": "0" * 28,
    "group_id": "dup-" + "0" * 24,
    "webhook_id": "wh-" + "0" * 16,
    "watchlist_id": "wl-" + "0" * 24,
    "alert_id": "al-" + "0" * 24,
    "list_name": "a-list",
    "run": "1",
    "outreach_id": "0" * 28,
    "case_id": "case-" + "0" * 16,
    "space": "als",
    "generation": "g1",
    "user_id": "u-1",
    "model_id": "m-1",
}
EXPECTED = {
    "GET /v1/streamers": "streamers:read",
    "GET /v1/streamers/{streamer_id}": "streamers:read",
    "PUT /v1/streamers/{streamer_id}": "streamers:write",
    "PATCH /v1/streamers/{streamer_id}": "streamers:write",
    "DELETE /v1/streamers/{streamer_id}": "streamers:write",
    "POST /v1/streamers:bulk": "streamers:write",
    "GET /v1/streamers/{streamer_id}/embedding": "embeddings:read",
    "GET /v1/streamers/{streamer_id}/similar": "search",
    "POST /v1/similar": "search",
    "GET /v1/similar": "search",
    "POST /v1/similar/export": "search",
    "POST /v1/cold-start": "coldstart",
    "POST /v1/cold-start:batch": "coldstart",
    "POST /v1/dedup": "duplicates",
    "POST /v1/compare": "explain",
    "POST /v1/jobs/imports": "streamers:write",
    "POST /v1/jobs/exports": "streamers:read",
    "GET /v1/jobs": "streamers:read",
    "GET /v1/jobs/{job_id}": "streamers:read",
    "GET /v1/jobs/{job_id}/events": "streamers:read",
    "GET /v1/jobs/{job_id}/result": "streamers:read",
    "POST /v1/jobs/{job_id}:cancel": "streamers:read",
    "POST /v1/jobs/{job_id}:retry": "streamers:read",
    "GET /v1/index": "admin",
    "GET /v1/keys": "admin",
    "POST /v1/keys": "admin",
    "PATCH /v1/keys/{key_id}": "admin",
    "DELETE /v1/keys/{key_id}": "admin",
    "POST /v1/keys/{key_id}:rotate": "admin",
    "GET /v1/audit": "admin",
    "GET /v1/audit/export": "admin",
}
"""Those of the first release with scopes; routes that came later are tried all the same."""
OF_A_JOB = ("get_job", "watch_job", "cancel_job", "retry_job")
"""Their endpoints decide by the kind of the job who may ask: of one that is not there, anybody."""


LESS = {"/v1/cases/{case_id}/export": "?format=csv"}
"""Of routes that by default ask for what needs another scope too."""


def needed(operation: dict[str, Any]) -> str:
    """The scope that the OpenAPI document tells of a route."""
    ((scope,),) = [list(s.values())[0] for s in operation["security"]]  # noqa: RUF015
    return scope


def ask(client: TestClient, method: str, path: str, **options: Any) -> Any:
    """A request that changes nothing: its body, if it has one, is no JSON."""
    url = re.sub(r"\{(\w+)\}", lambda name: FILLED[name[1]], path) + LESS.get(path, "")
    kind = "application/x-ndjson" if path.endswith(":bulk") else "application/json"
    if method in ("POST", "PUT", "PATCH"):
        options = {"content": b"rubbish", **options}
        options["headers"] = {"Content-Type": kind, **options.get("headers", {})}
    return client.request(method, url, **options)


def test_the_scopes_of_routes_are_these() -> None:
    declared = {f"{method} {path}": needed(operation) for method, path, operation in ROUTES}
    assert declared.items() >= EXPECTED.items()
    assert set(declared.values()) <= SCOPES


@pytest.mark.slow
def test_every_scope_on_every_route(guarded: TestClient) -> None:
    """With the one that is needed, and with all others together: they let through no less."""
    keys = {scope: create(guarded, scopes=[scope]) for scope in sorted(SCOPES)}
    lacking = {scope: create(guarded, scopes=sorted(SCOPES - {scope})) for scope in sorted(SCOPES)}
    surprises: list[str] = []
    for method, path, operation in ROUTES:
        scope = needed(operation)
        alone, others = keys[scope]["key"], lacking[scope]["key"]
        answer = ask(guarded, method, path, headers=bearer(alone))
        if operation["operationId"] in OF_A_JOB:
            problem(answer, 404, "job_not_found")
        elif answer.status_code in (401, 403):
            surprises.append(f"{method} {path} with {scope}: {answer.status_code} {answer.text}")
        answer = ask(guarded, method, path, headers=bearer(others))
        if operation["operationId"] in OF_A_JOB:
            problem(answer, 404, "job_not_found")
            continue
        body = problem(answer, 403, "missing_scope")
        if repr(scope) not in body["detail"] or others in answer.text:
            surprises.append(f"{method} {path} without {scope}: {answer.text}")
    assert not surprises
    # None of those requests has changed anything but the keys.
    assert guarded.get("/v1/streamers").json()["streamers"] == []
    # Rebuilds have no body that could be rubbish, and change nothing that is stored.
    jobs = guarded.get("/v1/jobs").json()["jobs"]
    assert {job["kind"] for job in jobs} == {"index_rebuild", "duplicates", "layout"}
    assert {scope["key_id"] for scope in keys.values()} <= _listed(guarded)


@pytest.mark.slow
def test_a_job_is_of_those_who_may_begin_one_of_its_kind(guarded: TestClient) -> None:
    keys = {scope: create(guarded, scopes=[scope]) for scope in sorted(SCOPES)}
    begun = {
        "admin": guarded.post("/v1/index:rebuild", headers=bearer(keys["admin"]["key"])),
        "duplicates": guarded.post(
            "/v1/duplicates:rebuild", headers=bearer(keys["duplicates"]["key"])
        ),
    }
    for owner, answer in begun.items():
        path = answer.headers["location"]
        wait_until(
            lambda path=path: guarded.get(path).json()["state"] == "succeeded", "the job has ended"
        )
        for scope, key in keys.items():
            asked = bearer(key["key"])
            status = {
                path: guarded.get(path, headers=asked).status_code
                for path in (path, path + "/events")
            }
            expected = 200 if scope in (owner, "streamers:read") else 403
            assert status == dict.fromkeys(status, expected), (owner, scope)
            changed = guarded.post(f"{path}:cancel", headers=asked)
            assert changed.status_code == (409 if scope == owner else 403), (owner, scope)
        refused = guarded.get(path, headers=bearer(keys["search"]["key"]))
        assert "'streamers:read'" in problem(refused, 403, "missing_scope")["detail"]


@pytest.mark.slow
def test_profiles_in_the_archive_of_a_case_need_the_scope_of_profiles(guarded: TestClient) -> None:
    alone = create(guarded, scopes=["cases"])
    both = create(guarded, scopes=["cases", "streamers:read"])
    guarded.put("/v1/streamers/s-1", json={"tags": ["music"]}).raise_for_status()
    made = guarded.post("/v1/cases", json={"title": "t", "seeds": ["s-1"]}).raise_for_status()
    path = f"/v1/cases/{made.json()['case_id']}/export"
    for key, form, status in ((alone, "csv", 200), (alone, "ndjson", 200), (both, "zip", 200)):
        answer = guarded.get(path, params={"format": form}, headers=bearer(key["key"]))
        assert answer.status_code == status, answer.text
    refused = problem(guarded.get(path, headers=bearer(alone["key"])), 403, "missing_scope")
    assert "'streamers:read'" in refused["detail"]
    guarded.delete("/v1/streamers/s-1").raise_for_status()


def _listed(client: TestClient) -> set[str]:
    return {key["key_id"] for key in client.get("/v1/keys?limit=1000").json()["keys"]}


def _expired(client: TestClient, data_dir: Path) -> str:
    """A key whose time is over, as its record says."""
    key = create(client, role="admin", expires_at="2999-12-31T00:00:00Z")
    with Redis(unix_socket_path=str(data_dir / "store" / "run" / "store.sock")) as store:
        record = json.loads(store.hget("ss:keys", key["key_id"]))  # pyright: ignore[reportArgumentType]
        store.hset("ss:keys", key["key_id"], json.dumps({**record, "expires_at": 1.0}))
        store.hset("ss:meta", "keys_mark", "another")
    asked = bearer(key["key"])
    wait_until(
        lambda: client.get("/v1/keys", headers=asked).status_code == 401, "the key has expired"
    )
    return key["key"]


@pytest.mark.slow
def test_who_is_refused_on_every_route(guarded: TestClient, data_dir: Path) -> None:
    good = create(guarded, role="admin")
    revoked, rotated = create(guarded, role="admin"), create(guarded, role="admin")
    guarded.delete(f"/v1/keys/{revoked['key_id']}").raise_for_status()
    answer = guarded.post(f"/v1/keys/{rotated['key_id']}:rotate", json={"grace_s": 0})
    answer.raise_for_status()
    key = good["key"]
    bad: dict[str, dict[str, Any]] = {
        "none": {},
        "empty": {"headers": {"Authorization": "Bearer "}},
        "no scheme": {"headers": {"Authorization": key}},
        "basic": {"headers": {"Authorization": f"Basic {key}"}},
        "digest": {"headers": {"Authorization": f"Digest {key}"}},
        "two in one": {"headers": bearer(f"{key}, Bearer {key}")},
        "unknown": {"headers": bearer(new_key("0123456789ab"))},
        "another's id": {"headers": bearer(new_key(good["key_id"]))},
        "mistyped": {"headers": bearer(key[:-1] + ("0" if key[-1] != "0" else "1"))},
        "cut off": {"headers": bearer(key[:-8])},
        "upper case": {"headers": bearer(key.upper())},
        "blank before": {"headers": bearer(f" {key}")},
        "expired": {"headers": bearer(_expired(guarded, data_dir))},
        "revoked": {"headers": bearer(revoked["key"])},
        "rotated": {"headers": bearer(rotated["key"])},
        "of another header": {"headers": {"X-API-Key": key}},
        "proxy's header": {"headers": {"Proxy-Authorization": f"Bearer {key}"}},
        "in a cookie": {"headers": {"Cookie": f"key={key}; Authorization=Bearer {key}"}},
        "in the query": {"params": {"key": key, "access_token": key, "api_key": key}},
    }
    # One guard is before all routes: each kind on the first, and on the others by turns.
    kinds = list(bad.items())
    asked = [(ROUTES[0], kind) for kind in kinds]
    asked += [(route, kinds[i % len(kinds)]) for i, route in enumerate(ROUTES)]
    asked += [(route, ("none", {})) for route in ROUTES]
    del guarded.headers["Authorization"]
    try:
        surprises = [
            f"{method} {path}: {name}: {answer.status_code}"
            for (method, path, _), (name, options) in asked
            if (answer := ask(guarded, method, path, **options)).status_code != 401
            or problem(answer, 401, "unauthorized")["detail"].find(key) >= 0
            or answer.headers["WWW-Authenticate"] != "Bearer"
        ]
    finally:
        guarded.headers.update(bearer("the-first-key"))
    assert not surprises
    twice = [("Authorization", f"Bearer {key}")] * 2
    problem(guarded.get("/v1/streamers", headers=twice), 400, "malformed_request")


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/", "/v1/nothing", "/V1/streamers", "//v1/streamers", "/admin"]
)
def test_what_has_no_route_needs_a_key_as_well(guarded: TestClient, path: str) -> None:
    problem(guarded.get(path, headers=bearer("wrong")), 401, "unauthorized")
    problem(guarded.get(path), 404, "no_such_path")
    problem(guarded.put("/v1/similar", headers=bearer("wrong")), 401, "unauthorized")
    problem(guarded.put("/v1/similar"), 405, "method_not_allowed")


@pytest.mark.parametrize(
    "path",
    [
        *("/livez", "/readyz", "/startupz", "/metrics", "/errors", "/docs", "/openapi.json"),
        *("/docs/known-ids.js", "/static-offline-docs/swagger-ui.css"),
    ],
)
def test_what_needs_no_key(guarded: TestClient, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded.app, "openapi_schema", {"made": "before"})  # it takes a second
    assert guarded.get(path, headers={"Authorization": ""}).status_code == 200


@pytest.mark.parametrize(("path", "statuses"), [("/console/", (200, 503)), ("/console/a", (404,))])
def test_the_console_asks_for_a_key_itself(
    guarded: TestClient, path: str, statuses: tuple[int, ...]
) -> None:
    assert guarded.get(path, headers={"Authorization": ""}).status_code in statuses


@pytest.mark.parametrize("path", ["/v1/similar", "/v1/streamers:bulk", "/v1/jobs/imports"])
@pytest.mark.parametrize(("scope", "status"), [(None, 401), ("cases", 403)])
def test_nothing_of_a_body_is_read(
    guarded: TestClient, path: str, scope: str | None, status: int
) -> None:
    key = b"wrong" if scope is None else create(guarded, scopes=[scope])["key"].encode()
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        raise AssertionError("the body was read")

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    request: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [
            (b"host", b"localhost"),
            (b"authorization", b"Bearer " + key),
            (b"content-length", b"10"),
            (b"content-type", b"application/json"),
        ],
        "state": dict(guarded.app_state),
    }
    answer: Callable[..., Awaitable[None]] = guarded.app
    assert guarded.portal is not None
    guarded.portal.call(answer, request, receive, send)
    assert sent[0]["status"] == status


def _app_with(**options: Any) -> FastAPI:
    app = FastAPI(openapi_url=None)

    @app.get("/v1/things/{thing}", **options)
    def get_thing(thing: str) -> None:  # pyright: ignore[reportUnusedFunction]
        raise AssertionError(thing)

    return app


@pytest.mark.parametrize(
    "dependencies",
    [
        [],
        [requires("search"), requires("explain")],
        [requires("nothing")],  # pyright: ignore[reportArgumentType]
        [Depends(OrOneOf(["search"]))],
    ],
)
def test_a_route_without_its_one_scope_is_not_served(dependencies: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"/v1/things/\{thing\} must declare one scope"):
        RouteScopes(_app_with(dependencies=dependencies).routes)


def test_scopes_are_found_as_the_framework_finds_routes() -> None:
    found = RouteScopes(_app_with(dependencies=[requires("search")]).routes)
    assert found.find("GET", "/v1/things/a") == "search"
    for method, path in (
        ("POST", "/v1/things/a"),
        ("GET", "/v1/things/"),
        ("GET", "/v1/things/a/b"),
        ("GET", "/v1/things"),
        ("GET", "things"),
        ("GET", ""),
    ):
        assert found.find(method, path) is None


def test_every_route_of_the_service_is_in_the_table() -> None:
    app = create_app(Settings(bundle=Path("none")))
    scopes = RouteScopes(app.routes)
    paths = {route.path_format or route.path or "" for route in iter_route_contexts(app.routes)}
    assert {path for path in paths if not is_public(path)} == {path for _, path, _ in ROUTES}
    for method, path, operation in ROUTES:
        url = re.sub(r"\{(\w+)\}", lambda name: FILLED[name[1]], path)
        assert scopes.find(method, url) == needed(operation)


def test_who_lacks_a_scope_is_told_what_key_to_ask_for(guarded: TestClient) -> None:
    reader = create(guarded, scopes=["streamers:read"])
    for body, roles in (
        ({"ids": ["a"]}, "'operations' or 'antifraud' or 'recommender' or 'admin'"),
        ({"streamer_id": "a"}, "'recommender' or 'admin'"),
    ):
        path = "/v1/dedup" if "ids" in body else "/v1/cold-start"
        answer = guarded.post(path, json=body, headers=bearer(reader["key"]))
        said = problem(answer, 403, "missing_scope")["detail"]
        assert said.endswith(f"ask an admin for a key with it, such as one of the role {roles}")
