"""API keys: what each lets in, who is refused, and how keys are changed, rotated and revoked."""

import json
import re
import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import Serve
from tests.support import raw
from tests.support.api import Api
from tests.support.service import ROOT, Service, wait_until

DOCUMENT: dict[str, Any] = json.loads((ROOT / "docs/openapi.json").read_text(encoding="utf-8"))
ROUTES: list[tuple[str, str, dict[str, Any]]] = [
    (method.upper(), path, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
    if "security" in operation
]
ROLES = {
    "operations": "duplicates explain search streamers:read streamers:write",
    "recommender": "coldstart duplicates embeddings:read search spaces:write streamers:read",
    "antifraud": "cases duplicates explain search streamers:read",
    "admin": "admin cases coldstart duplicates embeddings:read explain search spaces:write "
    "streamers:read streamers:write",
}
SCOPES = ROLES["admin"].split()
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
OF_A_JOB = ("get_job", "watch_job", "cancel_job", "retry_job")
"""Who may ask depends on the kind of the job: of one that is not there, anybody."""
LESS = {"/v1/cases/{case_id}/export": "?format=csv"}
"""Of routes that by default ask for what needs another scope too."""
FIRST_ADMIN = "STREAMER_API_KEY"


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Rebuilds that the table of routes asks for are not run."""
    return {"STREAMER_JOBS__AT_ONCE": "0"}


def bearer(key: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {key}"}}


def create(api: Api, **fields: Any) -> dict[str, Any]:
    return api.ok("POST", "/v1/keys", {"name": "a test", **fields}, status=201)


def listed(api: Api) -> dict[str, dict[str, Any]]:
    """All keys by their id, without when they were used, which is noted meanwhile."""
    keys = api.all("/v1/keys", "keys", limit=1000)
    return {key["key_id"]: {**key, "last_used_at": None} for key in keys}


def status(api: Api, key: str, path: str = "/v1/streamers") -> int:
    return api.get(path, **bearer(key)).status_code


# Making keys


@pytest.mark.parametrize("role", ROLES)
def test_a_key_of_a_role_is_shown_once(api: Api, role: str) -> None:
    answer = api.post("/v1/keys", json={"name": f" the {role} ", "role": role})
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    made = answer.json()
    text = made.pop("key")
    assert re.fullmatch(rf"ssk_{made['key_id']}_[0-9a-f]{{72}}", text)
    assert (made["name"], made["role"]) == (f"the {role}", role)
    assert (made["expires_at"], made["previous_until"], made["limits"]) == (None, None, {})
    assert sorted(made["scopes"]) == ROLES[role].split()
    shown = listed(api)
    assert shown[made["key_id"]] == {**made, "last_used_at": None}
    assert text not in json.dumps(shown)
    assert status(api, text) == 200
    assert status(api, text, "/v1/keys") == (200 if role == "admin" else 403)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"role": "recommender"}, "/name"),
        ({"name": " ", "role": "recommender"}, "/name"),
        ({"name": "\u200b", "role": "recommender"}, "/name"),
        ({"name": "x" * 101, "role": "recommender"}, "/name"),
        ({"name": "two\nlines", "role": "recommender"}, "/name"),
        ({"name": "\ud800", "role": "recommender"}, "/name"),
        ({"name": "x"}, ""),
        ({"name": "x", "role": "recommender", "scopes": ["search"]}, ""),
        ({"name": "x", "role": "root"}, "/role"),
        ({"name": "x", "scopes": []}, "/scopes"),
        ({"name": "x", "scopes": ["search", "everything"]}, "/scopes/1"),
        ({"name": "x", "role": "admin", "expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"name": "x", "role": "admin", "expires_at": "2099-01-01T00:00:00"}, "/expires_at"),
        ({"name": "x", "role": "admin", "expires_at": "9999-12-31T23:59:59Z"}, "/expires_at"),
        ({"name": "x", "role": "admin", "expires_at": 4_000_000_000}, "/expires_at"),
        ({"name": "x", "role": "admin", "key": "mine"}, "/key"),
        ({"name": "x", "role": "admin", "limits": {"admin": 5}}, "/limits/admin/[key]"),
        ({"name": "x", "role": "admin", "limits": {"search": -1}}, "/limits/search"),
        ({"name": "x", "role": "admin", "limits": {"search": 1.5}}, "/limits/search"),
        ({"name": "x", "role": "admin", "limits": {"search": 10**9}}, "/limits/search"),
        ({"name": "x", "role": "admin", "limits": []}, "/limits"),
    ],
)
def test_a_wrong_field_of_a_new_key_is_named(
    api: Api, fields: dict[str, Any], pointer: str
) -> None:
    before = listed(api)
    content, kind = json.dumps(fields), {"Content-Type": "application/json"}
    said = api.refused(
        "POST", "/v1/keys", content=content, headers=kind, status=422, code="invalid_request"
    )
    assert [error["pointer"] for error in said["errors"]] == [pointer]
    assert listed(api) == before


def test_pages_of_keys_show_each_once(api: Api) -> None:
    made = {create(api, scopes=["search"])["key_id"] for _ in range(5)}
    pages = list(api.pages("/v1/keys", "keys", limit=2))
    assert {len(page) for page in pages[:-1]} == {2}
    ids = [key["key_id"] for page in pages for key in page]
    assert ids == sorted(set(ids))
    assert made <= set(ids)
    api.refused("GET", "/v1/keys?cursor=x", status=422, code="invalid_request")


def test_a_creation_that_is_sent_again_makes_no_second_key(api: Api) -> None:
    def again(name: str, **fields: Any) -> dict[str, Any]:
        return {"headers": {"Idempotency-Key": f'"{name}"'}, **fields}

    body = {"name": "made once", "scopes": ["streamers:read"]}
    made = api.ok("POST", "/v1/keys", body, status=201, **again("k-1"))
    said = api.refused(
        "POST", "/v1/keys", body, status=409, code="key_text_not_kept", **again("k-1")
    )
    assert made["key_id"] in said["detail"]
    assert made["key"] not in json.dumps(said)
    other = {**body, "name": "another"}
    api.refused(
        "POST", "/v1/keys", other, status=422, code="idempotency_key_reused", **again("k-1")
    )
    assert [key["name"] for key in listed(api).values()].count("made once") == 1
    # Nor does a request that comes late bring a revoked one back.
    api.ok("DELETE", f"/v1/keys/{made['key_id']}")
    api.refused("POST", "/v1/keys", body, status=409, code="key_text_not_kept", **again("k-1"))
    assert made["key_id"] not in listed(api)
    assert status(api, made["key"]) == 401
    assert api.ok("POST", "/v1/keys", body, status=201, **again("k-2"))["key_id"] != made["key_id"]


# Changing them


def test_a_change_leaves_the_rest_and_the_text(api: Api) -> None:
    limits = {"search": 5, "explain": 6}
    key = create(api, scopes=["search"], expires_at="2099-01-31T08:00:00+08:00", limits=limits)
    assert (key["expires_at"], key["limits"]) == ("2099-01-31T00:00:00Z", limits)
    text, path = key.pop("key"), f"/v1/keys/{key['key_id']}"
    assert status(api, text) == 403
    body = {"scopes": ["streamers:read"], "limits": {"search": None, "cases": 7}}
    changed = api.ok("PATCH", path, body)
    assert (status(api, text), status(api, text, "/v1/streamers/a/similar")) == (200, 403)
    key |= {"scopes": ["streamers:read"], "limits": {"explain": 6, "cases": 7}}
    assert {**changed, "last_used_at": None} == {**key, "last_used_at": None}
    changed = api.ok("PATCH", path, {"name": "b", "role": "recommender", "expires_at": None})
    key |= {"name": "b", "role": "recommender", "expires_at": None}
    key["scopes"] = ROLES["recommender"].split()
    assert {**changed, "last_used_at": None} == {**key, "last_used_at": None}
    assert listed(api)[key["key_id"]] == {**key, "last_used_at": None}
    assert api.ok("PATCH", path, {"limits": None})["limits"] == {}


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
        ({"limits": {"search": -1}}, "/limits/search"),
        ({"limits": {"admin": 5}}, "/limits/admin/[key]"),
        ({"key": "mine"}, "/key"),
    ],
)
def test_a_wrong_change_is_named_and_changes_nothing(
    api: Api, fields: dict[str, Any], pointer: str
) -> None:
    key = create(api, scopes=["search"])
    before = listed(api)
    said = api.refused(
        "PATCH", f"/v1/keys/{key['key_id']}", fields, status=422, code="invalid_request"
    )
    assert [error["pointer"] for error in said["errors"]] == [pointer]
    assert listed(api) == before


def test_a_rotated_key_has_two_texts_for_a_time_of_grace(api: Api) -> None:
    first = create(api, scopes=["streamers:read"], limits={"search": 5})
    path = f"/v1/keys/{first['key_id']}:rotate"
    second = api.ok("POST", path)
    until = datetime.fromisoformat(second["previous_until"]) - datetime.now(UTC)
    assert timedelta(hours=23, minutes=50) < until <= timedelta(hours=24)
    same = ("key_id", "name", "scopes", "limits", "created_at", "expires_at")
    assert [second[name] for name in same] == [first[name] for name in same]
    assert [status(api, key["key"]) for key in (first, second)] == [200, 200]
    third = api.ok("POST", path, {"grace_s": 3600})
    assert [status(api, key["key"]) for key in (first, second, third)] == [401, 200, 200]
    fourth = api.ok("POST", path, {"grace_s": 0})
    assert fourth["previous_until"] is None
    assert [status(api, key["key"]) for key in (second, third, fourth)] == [401, 401, 200]


def test_a_rotation_that_is_sent_again_changes_no_text(api: Api) -> None:
    first = create(api, scopes=["streamers:read"])
    path = f"/v1/keys/{first['key_id']}:rotate"

    def rotate(name: str, **options: Any) -> Any:
        return api.ok("POST", path, headers={"Idempotency-Key": f'"{name}"'}, **options)["key"]

    texts = [first["key"], rotate("r-1")]
    for body, code, refusal in (
        (None, "key_text_not_kept", 409),
        ({"grace_s": 1}, "idempotency_key_reused", 422),
    ):
        key = {"Idempotency-Key": '"r-1"'}
        api.refused("POST", path, body, headers=key, status=refusal, code=code)
    assert [status(api, text) for text in texts] == [200, 200]
    texts.append(rotate("r-2"))
    assert [status(api, text) for text in texts] == [401, 200, 200]


def test_what_ends_by_itself_ends(api: Api) -> None:
    """A time of grace and a key; and its last use is told."""
    rotated, used = create(api, scopes=["streamers:read"]), create(api, scopes=["streamers:read"])
    assert status(api, used["key"]) == 200
    api.ok("POST", f"/v1/keys/{rotated['key_id']}:rotate", {"grace_s": 1})
    wait_until(lambda: status(api, rotated["key"]) == 401, "the time of grace has ended")
    soon = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
    api.ok("PATCH", f"/v1/keys/{used['key_id']}", {"expires_at": soon})
    wait_until(lambda: status(api, used["key"]) == 401, "the key has expired")

    def last_used() -> str | None:
        keys = {key["key_id"]: key for key in api.all("/v1/keys", "keys")}
        return keys[used["key_id"]]["last_used_at"]

    wait_until(last_used, "its last use is noted")
    assert used["created_at"] <= str(last_used()) <= soon


def test_a_revoked_key_is_refused_at_once(api: Api) -> None:
    key = create(api, role="admin")
    with Api(str(api.base_url), key["key"]) as itself:
        gone = itself.ok("DELETE", f"/v1/keys/{key['key_id']}")
        assert gone["key_id"] == key["key_id"]
        itself.refused("GET", "/v1/keys", status=401, code="unauthorized")
    assert key["key_id"] not in listed(api)
    for method, path, body in (
        ("DELETE", f"/v1/keys/{key['key_id']}", None),
        ("PATCH", f"/v1/keys/{key['key_id']}", {"name": "x"}),
        ("POST", f"/v1/keys/{key['key_id']}:rotate", None),
    ):
        api.refused(method, path, body, status=404, code="key_not_found")
    for key_id in ("nobody", "0123456789AB", "0123456789abc"):
        api.refused("DELETE", f"/v1/keys/{key_id}", status=422, code="invalid_request")


@pytest.mark.parametrize("grace", [-1, 30 * 86_400 + 1, "long"])
def test_a_wrong_time_of_grace_is_named(api: Api, grace: object) -> None:
    path = f"/v1/keys/{create(api, scopes=['search'])['key_id']}:rotate"
    said = api.refused("POST", path, {"grace_s": grace}, status=422, code="invalid_request")
    assert [error["pointer"] for error in said["errors"]] == ["/grace_s"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/jobs/imports"), ("PUT", "/v1/spaces/late/generations/g-1?promote=true")],
)
@pytest.mark.parametrize("loses", ["the key", "the scope"])
def test_nothing_is_written_of_a_body_whose_key_is_revoked_meanwhile(
    api: Api, method: str, path: str, loses: str
) -> None:
    rows = [
        {"kind": "streamer", "id": "late-1", "vector": [0.1, -0.3]},
        {"kind": "user", "id": "u-1", "vector": [0.4, 0.2]},
    ]
    lines = [{"streamer_id": "late-1"}, {"streamer_id": "late-2"}]
    first, last = [
        json.dumps(part).encode() + b"\n" for part in (rows if "spaces" in path else lines)
    ]
    key = create(api, scopes=["streamers:write", "spaces:write"])
    jobs = api.ok("GET", "/v1/jobs")["jobs"]
    head = raw.request(
        method,
        path,
        f"Authorization: Bearer {key['key']}",
        "Content-Type: application/x-ndjson",
        "Transfer-Encoding: chunked",
        "Expect: 100-continue",
    )
    with raw.connect(str(api.base_url).rstrip("/")) as client:
        client.sendall(head)
        assert client.recv(5, socket.MSG_PEEK) == b"HTTP/"  # its body is waited for
        client.sendall(raw.chunk(first))
        if loses == "the key":
            api.ok("DELETE", f"/v1/keys/{key['key_id']}")
        else:
            api.ok("PATCH", f"/v1/keys/{key['key_id']}", {"scopes": ["search"]})
        raw.send(client, raw.chunk(last) + raw.chunk(b""))
        answer = raw.answer(client)
    refusal = (401, "unauthorized") if loses == "the key" else (403, "missing_scope")
    assert (answer.status, answer.json["code"]) == refusal
    assert api.ok("GET", "/v1/jobs")["jobs"] == jobs
    assert api.get("/v1/spaces/late").status_code == 404


# Who is let in


def needed(operation: dict[str, Any]) -> str:
    """The scope that the document tells of a route."""
    ((scope,),) = [list(each.values())[0] for each in operation["security"]]  # noqa: RUF015
    return scope


def ask(api: Api, method: str, path: str, **options: Any) -> Any:
    """A request that changes nothing: its body, if it has one, is no JSON."""
    url = re.sub(r"\{(\w+)\}", lambda name: FILLED[name[1]], path) + LESS.get(path, "")
    if method in ("POST", "PUT", "PATCH"):
        kind = "application/x-ndjson" if path.endswith(":bulk") else "application/json"
        options = {"content": b"rubbish", **options}
        options["headers"] = {"Content-Type": kind, **options.get("headers", {})}
    return api.request(method, url, **options)


def test_what_changes_or_shows_most_needs_the_scope_for_it() -> None:
    """The document is compared with the service below; this is what it has to say."""
    scopes = {f"{method} {path}": needed(operation) for method, path, operation in ROUTES}
    assert set(scopes.values()) == set(SCOPES)
    for pattern, scope in {
        r"\w+ /v1/(keys|audit|webhooks|models|index)\b.*": "admin",
        r"(PUT|PATCH|DELETE) /v1/streamers/{streamer_id}": "streamers:write",
        r"POST /v1/(streamers:bulk|jobs/imports)": "streamers:write",
        r"GET /v1/streamers(/{streamer_id})?|POST /v1/jobs/exports": "streamers:read",
        r"GET /v1/streamers/{streamer_id}/embedding": "embeddings:read",
        r"\w+ /v1/(cases|watchlists|alerts)\b.*": "cases",
        r"(PUT|DELETE|POST) /v1/spaces\b.*": "spaces:write",
        r"\w+ /v1/(similar|lists|ratings)\b.*|GET .*/similar": "search",
        r"\w+ /v1/(dedup|duplicates|judgements)\b.*": "duplicates",
    }.items():
        found = {scope for route, scope in scopes.items() if re.fullmatch(pattern, route)}
        assert found == {scope}, pattern


def test_every_scope_on_every_route(api: Api) -> None:
    """With the one that is needed, and with all others together: they let through no less."""
    keys = {scope: create(api, scopes=[scope])["key"] for scope in SCOPES}
    others = {s: create(api, scopes=[o for o in SCOPES if o != s])["key"] for s in SCOPES}
    surprises = list[str]()
    for method, path, operation in ROUTES:
        scope = needed(operation)
        let_in = ask(api, method, path, **bearer(keys[scope]))
        refused = ask(api, method, path, **bearer(others[scope]))
        if operation["operationId"] in OF_A_JOB:
            fits = let_in.json()["code"] == refused.json()["code"] == "job_not_found"
        else:
            fits = let_in.status_code not in (401, 403) and refused.status_code == 403
            fits = fits and refused.json()["code"] == "missing_scope"
            fits = fits and repr(scope) in refused.json()["detail"]
        if not fits or others[scope] in refused.text:
            surprises.append(f"{method} {path}, {scope}: {let_in.text} {refused.text}")
    assert not surprises
    assert api.ok("GET", "/v1/streamers")["streamers"] == []


def test_who_lacks_a_scope_is_told_which_roles_have_it(api: Api) -> None:
    key = create(api, scopes=["streamers:read"])["key"]
    for path, scope in (("/v1/dedup", "duplicates"), ("/v1/cold-start", "coldstart")):
        said = api.refused("POST", path, {}, status=403, code="missing_scope", **bearer(key))
        told = set(re.findall(r"'(\w+)'", said["detail"])) & ROLES.keys()
        assert told == {role for role, scopes in ROLES.items() if scope in scopes.split()}


def test_some_answers_need_a_second_scope(api: Api) -> None:
    keys = {
        scopes: create(api, scopes=scopes.split())["key"]
        for scopes in ("search", "search explain", "coldstart", "coldstart embeddings:read")
    }
    explained = "/v1/streamers/nobody/similar?explain=true"
    api.refused("GET", explained, status=403, code="missing_scope", **bearer(keys["search"]))
    body = {"positive": [{"streamer_id": "nobody"}], "explain": True}
    api.refused(
        "POST", "/v1/similar", body, status=403, code="missing_scope", **bearer(keys["search"])
    )
    let_in = bearer(keys["search explain"])
    api.refused("GET", explained, status=404, code="streamer_not_found", **let_in)
    profile = {"profile": {"tags": ["cooking"], "bio": "kitchen"}}
    hidden = api.ok("POST", "/v1/cold-start", profile, **bearer(keys["coldstart"]))
    shown = api.ok("POST", "/v1/cold-start", profile, **bearer(keys["coldstart embeddings:read"]))
    assert hidden["id_embedding"]["vector"] is None
    assert "embeddings:read" in hidden["id_embedding_unavailable_because"]
    assert len(shown["id_embedding"]["vector"]) > 0
    assert shown["id_embedding_unavailable_because"] is None


def test_who_is_refused_everywhere(api: Api) -> None:
    good, revoked, rotated = [create(api, role="admin") for _ in range(3)]
    api.ok("DELETE", f"/v1/keys/{revoked['key_id']}")
    api.ok("POST", f"/v1/keys/{rotated['key_id']}:rotate", {"grace_s": 0})
    key = good["key"]
    mistyped = key[:-1] + ("0" if key[-1] != "0" else "1")
    bad: list[dict[str, Any]] = [
        {"headers": {"Authorization": value}}
        for value in (
            *("", "Bearer", key, f"Basic {key}", f"Digest {key}", f"Token {key}"),
            *(f"Bearer{key}", f"Bearer  {key}", f"Bearer {key}, Bearer {key}", f"Bearer {key}x"),
            *(f"Bearer {mistyped}", f"Bearer {key[:-8]}", f"Bearer {key.upper()}", "Bearer ..."),
            *(f'Bearer "{key}"', f"Bearer %20{key}", f"Bearer {revoked['key']}"),
            *(f"Bearer {rotated['key']}", "Bearer " + "x" * 60_000),
        )
    ]
    bad += [
        {"headers": {name: value}}
        for name, value in {
            "X-API-Key": key,
            "X-Authorization": f"Bearer {key}",
            "Proxy-Authorization": f"Bearer {key}",
            "Cookie": f"key={key}; Authorization=Bearer {key}",
            "X-HTTP-Method-Override": "GET",
            "X-Original-URL": "/livez",
        }.items()
    ]
    bad.append({"params": {"key": key, "access_token": key, "api_key": key}})
    # One guard is before all routes: each kind on the first, and on the others by turns.
    asked = [(ROUTES[0], kind) for kind in bad]
    asked += [(route, bad[i % len(bad)]) for i, route in enumerate(ROUTES)]
    with Api(str(api.base_url)) as nobody:
        for (method, path, _), options in asked:
            answer = ask(nobody, method, path, **options)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), options
            assert answer.headers["www-authenticate"] == "Bearer"
            assert key not in answer.text
        twice = [("Authorization", f"Bearer {key}")] * 2
        answer = nobody.get("/v1/streamers", headers=twice)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")
    assert status(api, key) == 200
    for scheme in ("bearer", "BEARER"):
        asked_by = {"Authorization": f"{scheme} {key}"}
        assert api.get("/v1/streamers", headers=asked_by).status_code == 200


def test_a_key_in_the_query_is_not_told_again(api: Api) -> None:
    key = create(api, role="admin")["key"]
    answer = api.get("/v1/streamers", params={"api_key": key})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert key not in answer.text


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/v1/nothing", "/V1/streamers", "//v1/keys"])
def test_what_has_no_route_needs_a_key_as_well(api: Api, path: str) -> None:
    api.refused("GET", path, status=401, code="unauthorized", **bearer("wrong"))
    api.refused("GET", path, status=404, code="no_such_path")


def test_no_way_leads_around_the_key(api: Api) -> None:
    ways = (
        *("{}/", "/{}", "{}%00", "{}%0a", "{};a", "{}%2f", "/livez/..{}", "{}?", "/./{}", "{}#"),
        *("/console/..{}", "/console/%2e%2e{}", "/static-offline-docs/..{}", "/docs/..{}"),
        *("/metrics{}", "/metrics/..{}", "/%6civez/..{}", "{}/../../livez", "{}%23/livez"),
    )
    url = str(api.base_url).rstrip("/")
    for path in ("/v1/streamers", "/v1/keys"):
        for way in ways:
            (answer,) = raw.exchange(url, raw.request("GET", way.format(path), "Connection: close"))
            assert answer.status in (400, 401, 404), way
            assert b"streamers" not in answer.body
            assert b"key_id" not in answer.body


@pytest.mark.parametrize(
    "path",
    [
        *("/livez", "/readyz", "/startupz", "/metrics", "/errors", "/docs"),
        *("/docs/known-ids.js", "/static-offline-docs/swagger-ui.css"),
    ],
)
def test_what_needs_no_key(service: Service, path: str) -> None:
    with Api(service.url) as nobody:
        assert nobody.get(path).status_code == 200


def test_without_any_key_everybody_is_let_in_until_there_is_one(serve: Serve) -> None:
    service = serve()
    anybody = service.api
    assert anybody.ok("GET", "/v1/streamers")["streamers"] == []
    for fields, pointer in (
        ({"role": "recommender"}, "/role"),
        ({"scopes": ["search"]}, "/scopes"),
    ):
        body = {"name": "x", **fields}
        said = anybody.refused("POST", "/v1/keys", body, status=422, code="invalid_request")
        assert [error["pointer"] for error in said["errors"]] == [pointer]
    first = create(anybody, role="admin")
    anybody.refused("GET", "/v1/streamers", status=401, code="unauthorized")
    with Api(service.url, first["key"]) as admin:
        elsewhere = {"Host": "api.example.org", "Origin": "https://console.example.org"}
        assert admin.get("/v1/streamers", headers=elsewhere).status_code == 200
        # The last admin stays one, and is revoked only on purpose.
        path = f"/v1/keys/{first['key_id']}"
        admin.refused("PATCH", path, {"role": "operations"}, status=409, code="last_admin_key")
        assert admin.ok("PATCH", path, {"scopes": ["admin"]})["scopes"] == ["admin"]
        second = create(admin, role="admin")
        assert admin.ok("PATCH", path, {"role": "operations"})["role"] == "operations"
        admin.refused("GET", "/v1/keys", status=403, code="missing_scope")
    with Api(service.url, second["key"]) as admin:
        admin.ok("DELETE", path)
        admin.ok("DELETE", f"/v1/keys/{second['key_id']}")
    anybody.refused("GET", "/v1/streamers", status=401, code="unauthorized")
    assert service.stop() == 0
    with Api(serve().url) as nobody:
        nobody.refused("GET", "/v1/streamers", status=401, code="unauthorized")


def test_an_admin_of_the_settings_is_enough(api: Api) -> None:
    key = create(api, role="admin")
    changed = api.ok("PATCH", f"/v1/keys/{key['key_id']}", {"role": "operations"})
    assert changed["role"] == "operations"
    assert FIRST_ADMIN not in listed(api)
