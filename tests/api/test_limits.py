"""Limits: of a key's rate, of bodies and headers, of connections, and what is told beyond them."""

import contextlib
import json
import select
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.test_keys import ROUTES, SCOPES, ask, bearer, create, needed
from tests.support import raw
from tests.support.api import NDJSON, Api
from tests.support.bundles import DIM
from tests.support.service import Service, run, wait_until

WINDOW_S = 86_400
"""No unit comes back while a test runs."""
LIMIT = 1000
LIMITED = [scope for scope in SCOPES if scope != "admin"]
SIMILAR = "/v1/streamers/a/similar"
HEADER_BYTES, BODY_BYTES, BULK_BYTES, LINE_VALUES = 64 << 10, 100_000, 300_000, 1024
GET = b"GET /v1/streamers HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    limits = {f"STREAMER_RATE_LIMITS__{s.replace(':', '_').upper()}": str(LIMIT) for s in LIMITED}
    return {
        **limits,
        "STREAMER_RATE_LIMITS__WINDOW_S": str(WINDOW_S),
        "STREAMER_LIMITS__BODY_LIMIT_BYTES": str(BODY_BYTES),
        "STREAMER_LIMITS__BULK_BODY_LIMIT_BYTES": str(BULK_BYTES),
        "STREAMER_LIMITS__BULK_LINES": "200",
        "STREAMER_LIMITS__BODY_VALUES": str(LINE_VALUES),
        "STREAMER_JOBS__AT_ONCE": "0",
        "STREAMER_JOBS__MAX_QUEUED": "3",
        "STREAMER_JOBS__SPOOL_BYTES": str(1 << 20),
        "STREAMER_JOBS__UPLOAD_LIMIT_BYTES": "700000",
        "STREAMER_AUDIT__REFUSALS_PER_S": "0.1",
    }


@pytest.fixture(scope="module")
def pair(api: Api) -> None:
    """Streamers a and b."""
    api.write({"streamer_id": name, "tags": ["cooking"]} for name in "ab")


@pytest.fixture(scope="module")
def hasty(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service without keys that waits two seconds for anything; asked by raw sockets alone."""
    variables: dict[str, Any] = {
        "STREAMER_SERVER": json.dumps({"header_timeout_s": 2.0, "idle_timeout_s": 2.0}),
        "STREAMER_LIMITS": json.dumps({"body_timeout_s": 2.0, "bulk_min_bytes": 100}),
    }
    with Service(bundle, tmp_path_factory.mktemp("hasty") / "data", **variables) as running:
        yield running.wait_until_ready()


# Rates


def left(answer: Any) -> dict[str, int]:
    """Units left, by scope, as the header tells."""
    found = dict[str, int]()
    for item in answer.headers.get("RateLimit", "").split(", "):
        name, r, t = item.split(";")
        assert int(t.removeprefix("t=")) >= 1
        found[json.loads(name)] = int(r.removeprefix("r="))
    return found


@pytest.mark.usefixtures("pair")
def test_each_answer_tells_the_limit_and_what_is_left(api: Api) -> None:
    asked = bearer(create(api, scopes=["search", "streamers:read"])["key"])
    for i, (path, status) in enumerate(
        [
            (SIMILAR, 200),
            (f"{SIMILAR}?exact=false", 200),
            ("/v1/streamers/nobody/similar", 404),
            (f"{SIMILAR}?k=0", 422),
        ],
        start=1,
    ):
        answer = api.get(path, **asked)
        assert (answer.status_code, left(answer)) == (status, {"search": LIMIT - i})
        assert answer.headers["RateLimit-Policy"] == f'"search";q={LIMIT};w={WINDOW_S}'
    assert left(api.get("/v1/streamers/a", **asked)) == {"streamers:read": LIMIT - 1}


@pytest.mark.usefixtures("pair")
def test_a_limit_that_is_used_up(api: Api) -> None:
    asked = bearer(create(api, scopes=["search"], limits={"search": 2})["key"])
    for _ in range(2):
        assert api.get(SIMILAR, **asked).status_code == 200
    for path in (SIMILAR, f"{SIMILAR}?exact=true", "/v1/model"):
        said = api.refused("GET", path, status=429, code="rate_limited", **asked)
        assert "'search'" in said["detail"]
        answer = api.get(path, **asked)
        retry_after = int(answer.headers["Retry-After"])
        assert 0.9 * WINDOW_S / 2 < retry_after <= WINDOW_S / 2
        assert answer.headers["RateLimit"] == f'"search";r=0;t={retry_after}'
        assert answer.headers["RateLimit-Policy"] == f'"search";q=2;w={WINDOW_S}'
    assert api.get(SIMILAR, **bearer(create(api, scopes=["search"])["key"])).status_code == 200
    assert f'streamer_rate_limited_total{{scope="search"}} {6:.1f}' in api.get("/metrics").text


@pytest.mark.usefixtures("pair")
def test_who_is_not_limited_is_told_nothing(api: Api, hasty: Service) -> None:
    free = bearer(create(api, scopes=["streamers:read"], limits={"streamers:read": 0})["key"])
    answers = [
        *(api.get(path) for path in ("/v1/keys", "/livez", "/v1/nothing")),
        api.get("/v1/streamers", **bearer("wrong")),
        api.get("/v1/streamers", **free),
    ]
    (keyless,) = raw.exchange(hasty.url, GET + b"Connection: close\r\n\r\n")
    for headers in (keyless.headers, *(answer.headers for answer in answers)):
        assert not {"ratelimit", "ratelimit-policy"} & {name.lower() for name in headers}


def cancel_all(api: Api) -> None:
    """Jobs that other tests began, as none is run here."""
    for job in api.all("/v1/jobs", "jobs", limit=100):
        if job["state"] == "queued":
            api.ok("POST", f"/v1/jobs/{job['job_id']}:cancel")


@pytest.mark.parametrize("scope", [scope for scope in LIMITED if scope != "explain"])
def test_every_route_of_a_scope_is_limited_by_it(api: Api, scope: str) -> None:
    """And by no more before its body is known; `admin` is never limited."""
    for method, path, operation in ROUTES:
        if needed(operation) == scope:
            asked = bearer(create(api, scopes=[scope], limits={scope: 1})["key"])
            assert ask(api, method, path, **asked).status_code != 429, path
            answer = ask(api, method, path, **asked)
            assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited"), path
            assert repr(scope) in answer.json()["detail"]
    cancel_all(api)


@pytest.mark.usefixtures("pair")
def test_explanations_have_a_limit_of_their_own(api: Api) -> None:
    asked = bearer(create(api, scopes=["search", "explain"], limits={"explain": 1})["key"])
    explained = f"{SIMILAR}?explain=true&k=1"
    assert api.get(explained, **asked).status_code == 200
    answer = api.get(explained, **asked)
    assert (answer.status_code, left(answer)) == (429, {"search": LIMIT - 2, "explain": 0})
    assert api.get(SIMILAR, **asked).status_code == 200


@pytest.mark.usefixtures("pair")
def test_keys_are_revoked_whatever_else_is_used_up(api: Api) -> None:
    limits = dict.fromkeys(LIMITED, 1)
    admin = create(api, role="admin", limits=limits)
    asked = bearer(admin["key"])
    for path in (SIMILAR, "/v1/streamers"):
        assert api.get(path, **asked).status_code == 200
        assert api.get(path, **asked).status_code == 429
    for path in ("/livez", "/readyz", "/metrics", "/docs", *["/v1/keys"] * 20):
        assert api.get(path, **asked).status_code == 200
    assert api.delete(f"/v1/keys/{admin['key_id']}", **asked).status_code == 200
    assert api.get("/v1/keys", **asked).status_code == 401


@pytest.mark.usefixtures("pair")
def test_a_changed_limit_keeps_the_share_that_is_used_up(api: Api) -> None:
    key = create(api, scopes=["search"], limits={"search": 10})
    answers = [api.get(SIMILAR, **bearer(key["key"])) for _ in range(5)]
    assert left(answers[-1]) == {"search": 5}
    api.ok("PATCH", f"/v1/keys/{key['key_id']}", {"limits": {"search": 100}})
    assert left(api.get(SIMILAR, **bearer(key["key"]))) == {"search": 49}


VECTOR = {"vector": [1.0] * DIM}
SEED = {"profile": {"tags": ["cooking"]}}
ITEM = {"tags": ["cooking"]}
SELECT = "/v1/layouts/current:select"
CORNERS = [[i, i % 7] for i in range(500)]


@pytest.mark.parametrize(
    ("method", "path", "body", "cost"),
    [
        ("GET", f"{SIMILAR}?k=100", None, {"search": 1}),
        ("GET", f"{SIMILAR}?k=101", None, {"search": 2}),
        ("GET", f"{SIMILAR}?exact=true", None, {"search": 11}),
        ("GET", f"{SIMILAR}?explain=true&k=7", None, {"search": 1, "explain": 7}),
        ("GET", f"{SIMILAR}?k=1001", None, {"search": 1}),  # is refused
        ("POST", "/v1/similar", {"positive": [VECTOR], "k": 500}, {"search": 5}),
        ("POST", "/v1/similar", {"positive": [SEED]}, {"search": 6}),
        (
            "POST",
            "/v1/similar",
            {"positive": [VECTOR] * 10, "negative": [{"streamer_id": "b"}], "explain": True},
            {"search": 2, "explain": 10},
        ),
        (
            "POST",
            "/v1/similar",
            {"positive": [VECTOR], "pages": True, "min_score": 0.9},
            {"search": 100},
        ),
        ("POST", "/v1/similar/export", {"positive": [SEED], "min_score": 0.9}, {"search": 105}),
        ("POST", "/v1/cold-start", {"streamer_id": "a"}, {"coldstart": 1}),
        ("POST", "/v1/cold-start", {**SEED, "neighbours": 101}, {"coldstart": 7}),
        ("POST", "/v1/dedup", {"ids": ["a", "b"]}, {"duplicates": 1}),
        ("POST", "/v1/dedup", {"ids": ["a", "b"] * 10 + ["a"]}, {"duplicates": 3}),
        (
            "POST",
            "/v1/dedup",
            {"profiles": [{**ITEM, "streamer_id": name} for name in "xy"]},
            {"duplicates": 11},
        ),
        ("POST", "/v1/compare", {"a": {"streamer_id": "a"}, "b": SEED}, {"explain": 6}),
        ("POST", SELECT, {"near": {"x": 1, "y": 1}, "limit": 101}, {"search": 2}),
        ("POST", SELECT, {"polygon": CORNERS}, {"search": 50}),
        ("GET", "/v1/streamers?limit=1000", None, {"streamers:read": 10}),
        ("GET", "/v1/cases?limit=101", None, {"cases": 2}),
        ("PUT", "/v1/streamers/c", ITEM, {"streamers:write": 1}),
        ("GET", "/v1/streamers/a/embedding", None, {"embeddings:read": 1}),
        ("POST", "/v1/duplicates:rebuild", None, {"duplicates": 100}),
        ("POST", "/v1/jobs/exports", {}, {"streamers:read": 100}),
    ],
)
@pytest.mark.usefixtures("pair")
def test_what_a_request_costs(
    api: Api, method: str, path: str, body: object, cost: dict[str, int]
) -> None:
    asked = bearer(create(api, role="admin")["key"])
    answer = api.request(method, path, json=body, **asked)
    assert left(answer) == {scope: LIMIT - units for scope, units in cost.items()}, answer.text
    if answer.status_code == 202:
        api.ok("POST", f"{answer.headers['location']}:cancel")


@pytest.mark.parametrize(
    ("path", "lines", "scope", "cost"),
    [
        ("/v1/streamers:bulk", "[]\n" * 50, "streamers:write", 100),
        ("/v1/cold-start:batch", '{"streamer_id":"a"}\n{"users":0}\n[]\n', "coldstart", 3),
        ("/v1/cold-start:batch", "\n", "coldstart", 1),
    ],
)
@pytest.mark.usefixtures("pair")
def test_what_lines_cost(api: Api, path: str, lines: str, scope: str, cost: int) -> None:
    headers = bearer(create(api, scopes=[scope])["key"])["headers"] | NDJSON
    assert left(api.post(path, content=lines, headers=headers)) == {scope: LIMIT - cost}


@pytest.mark.usefixtures("pair")
def test_what_costs_more_than_is_left_is_owed(api: Api) -> None:
    asked = bearer(create(api, scopes=["search"], limits={"search": 10})["key"])
    body = {"positive": [VECTOR], "min_score": 0.99}
    answer = api.post("/v1/similar/export", json=body, **asked)
    assert (answer.status_code, left(answer)) == (200, {"search": 0})
    answer = api.post("/v1/similar/export", json=body, **asked)
    assert answer.status_code == 429
    # 90 units are owed, and one is to spend.
    assert 90 * WINDOW_S / 10 < int(answer.headers["Retry-After"]) <= 91 * WINDOW_S / 10


def test_a_retried_job_costs_as_one_that_begins(api: Api) -> None:
    asked = bearer(create(api, scopes=["search", "streamers:read"])["key"])
    asked["headers"]["Prefer"] = "respond-async"
    body = {"positive": [VECTOR], "min_score": 0.99}
    begun = api.post("/v1/similar/export", json=body, **asked)
    path = begun.headers["location"]
    assert left(begun) == {"search": LIMIT - 100}
    assert api.post(f"{path}:cancel", **asked).json()["state"] == "cancelled"
    retried = api.post(f"{path}:retry", **asked)
    assert (retried.status_code, left(retried)["search"]) == (200, LIMIT - 200)
    api.ok("POST", f"{path}:cancel")


def test_refusals_beyond_a_rate_are_counted_in_one_line_of_the_audit_log(api: Api) -> None:
    for _ in range(20):
        assert api.get("/v1/streamers/who", **bearer("wrong")).status_code == 401

    def counted() -> int:
        entries = api.all("/v1/audit", "entries", limit=1000)
        single = [e for e in entries if e["status"] == 401 and e.get("ids") == ["who"]]
        assert len(single) <= 2
        kinds = [c for e in entries if e["kind"] == "refused" for c in e["counts"]]
        route = "/v1/streamers/{streamer_id}"
        return sum(c["count"] for c in kinds if (c["status"], c["route"]) == (401, route))

    wait_until(lambda: counted() >= 18, "the others are counted")


# Bodies


@pytest.mark.parametrize("is_told", [True, False], ids=["told", "in chunks"])
@pytest.mark.parametrize(
    ("method", "path", "kind", "most"),
    [
        ("PUT", "/v1/streamers/large", "application/json", BODY_BYTES),
        ("POST", "/v1/similar", "application/json", BODY_BYTES),
        ("POST", "/v1/jobs/imports", "application/x-ndjson", 700_000),
        ("POST", "/v1/jobs/imports", "application/json", 16 << 10),
    ],
)
def test_a_body_that_is_too_large(
    api: Api, method: str, path: str, kind: str, most: int, is_told: bool
) -> None:
    body = b" " * (most + 1)
    content = body if is_told else iter([body[:3000], body[3000:]])
    asked = {**bearer(create(api, role="admin")["key"])["headers"], "Content-Type": kind}
    said = api.refused(
        method, path, content=content, headers=asked, status=413, code="body_too_large"
    )
    assert str(most) in said["detail"].replace(",", "")
    assert api.get("/v1/streamers/large").status_code == 404
    if "ndjson" not in kind:  # which would stay in the spool
        assert api.request(method, path, content=body[1:], headers=asked).status_code in (400, 422)


def test_lines_that_are_too_long_too_many_or_too_much(api: Api) -> None:
    headers = {**bearer(create(api, role="admin", limits={"streamers:write": 0})["key"])["headers"]}

    def write(*lines: bytes) -> list[dict[str, Any]]:
        content = (line + b"\n" for line in lines)
        answer = api.post("/v1/streamers:bulk", content=content, headers=headers | NDJSON)
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.content.splitlines()]

    good = [b'{"streamer_id":"line-%d"}' % i for i in range(250)]
    long = b'{"streamer_id":"long","bio":"' + b"x" * BODY_BYTES + b'"}'
    results = write(good[0], long, good[1])
    assert [each["outcome"] for each in results] == ["created", "error", "created"]
    assert results[1]["error"]["code"] == "body_too_large"
    *written, last = write(*good)
    assert len(written) == 200
    assert {each["outcome"] for each in written} <= {"created", "updated"}
    assert (last["line"], last["outcome"]) == (201, "error")
    padded = [line + b" " * (BULK_BYTES // 10) for line in good[:12]]
    *written, last = write(*padded)
    assert (last["outcome"], last["error"]["code"]) == ("error", "body_too_large")
    assert [each["streamer_id"] for each in written] == [f"line-{i}" for i in range(len(written))]
    answer = api.post("/v1/streamers:bulk", content=b"".join(padded), headers=headers | NDJSON)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_more_values_than_a_body_may_have(api: Api) -> None:
    body = b'{"tags":[' + b"0," * (LINE_VALUES + 1) + b" " * (64 << 10)  # not even closed
    asked = {**bearer(create(api, role="admin")["key"])["headers"]}
    for method, path in (("PUT", "/v1/streamers/many"), ("POST", "/v1/similar")):
        said = api.refused(
            method,
            path,
            content=body,
            headers={**asked, "Content-Type": "application/json"},
            status=422,
            code="invalid_request",
        )
        assert "values" in said["detail"]


def test_jobs_and_their_files_have_limits(api: Api) -> None:
    asked = bearer(create(api, role="admin", limits=dict.fromkeys(LIMITED, 0))["key"])
    headers = {**asked["headers"], **NDJSON}
    begun = [api.post("/v1/jobs/imports", content=b"x" * 600_000, headers=headers)]
    full = api.post("/v1/jobs/imports", content=b"x" * 600_000, headers=headers)
    assert (full.status_code, full.json()["code"]) == (507, "spool_full")
    assert full.headers["retry-after"] == "60"
    begun += [api.post("/v1/jobs/exports", json={}, **asked) for _ in range(2)]
    assert [answer.status_code for answer in begun] == [202] * 3
    for answer in (
        api.post("/v1/jobs/exports", json={}, **asked),
        api.post("/v1/duplicates:rebuild", **asked),
    ):
        assert (answer.status_code, answer.json()["code"]) == (503, "too_many_jobs")
        assert answer.headers["retry-after"] == "10"
    for answer in begun:
        api.ok("POST", f"{answer.headers['location']}:cancel")


def put(*headers: str) -> bytes:
    return raw.request("PUT", "/v1/streamers/slow", "Content-Type: application/json", *headers)


def bulk(*headers: str) -> bytes:
    kind, chunked = "Content-Type: application/x-ndjson", "Transfer-Encoding: chunked"
    return raw.request("POST", "/v1/streamers:bulk", kind, chunked, *headers)


@pytest.mark.parametrize("drips", [False, True])
def test_a_body_that_does_not_come(hasty: Service, drips: bool) -> None:
    with raw.connect(hasty.url) as client:
        client.sendall(put("Content-Length: 100000"))
        while drips and not select.select([client], [], [], 0.2)[0]:
            raw.send(client, b" ")  # each byte in time, all of them together not
        answer = raw.answer(client)
    assert (answer.status, answer.json["code"]) == (408, "body_too_slow")
    assert answer.headers["content-type"] == "application/problem+json"


def test_lines_before_a_stop_are_written(hasty: Service) -> None:
    with raw.connect(hasty.url) as client:
        lines = b'{"streamer_id":"stop-1"}\n{"streamer_id":"stop-2"}\n{"streamer_id":"sto'
        client.sendall(bulk() + raw.chunk(lines))
        answer = raw.answer(client)
    *written, last = [json.loads(line) for line in answer.body.splitlines()]
    assert [each["streamer_id"] for each in written] == ["stop-1", "stop-2"]
    assert {each["outcome"] for each in written} == {"created"}
    assert (last["line"], last["error"]["code"]) == (3, "body_too_slow")


def test_lines_that_trickle_are_given_up_and_those_that_pause_are_not(hasty: Service) -> None:
    given_up, sent = b"", 0
    with raw.connect(hasty.url) as trickling, raw.connect(hasty.url) as pausing:
        trickling.sendall(bulk() + raw.chunk(b'{"streamer_id":"trickle"}\n'))
        pausing.sendall(bulk())
        while b"body_too_slow" not in given_up:
            raw.send(trickling, raw.chunk(b" "))
            line = b" " * 100 + b'{"streamer_id":"pause-%d"}\n' % sent  # enough to be waited for
            pausing.sendall(raw.chunk(line))
            sent += 1
            if select.select([trickling], [], [], 0.2)[0]:
                given_up += trickling.recv(1 << 16)
        pausing.sendall(raw.chunk(b""))
        complete = raw.answer(pausing)
    written, last = [json.loads(line) for line in given_up.splitlines() if line[:1] == b"{"]
    assert written["outcome"] == "created"
    assert (last["line"], last["error"]["code"]) == (2, "body_too_slow")
    results = [json.loads(line) for line in complete.body.splitlines()]
    assert [each["streamer_id"] for each in results] == [f"pause-{j}" for j in range(sent)]
    assert {each["outcome"] for each in results} == {"created"}


# Headers and connections


def header_of(size: int) -> bytes:
    return GET + b"X: " + b"x" * (size - len(GET) - 7) + b"\r\n\r\n"


def test_a_header_up_to_the_limit(hasty: Service) -> None:
    header = header_of(HEADER_BYTES)
    assert len(header) == HEADER_BYTES
    with raw.connect(hasty.url) as client:
        for _ in range(2):  # on one connection
            client.sendall(header)
            assert raw.answer(client).status == 200


@pytest.mark.parametrize(
    "content",
    [
        header_of(HEADER_BYTES + 1),
        header_of(8 << 20),
        b"GET /" + b"x" * (1 << 20),
        GET + b"".join(b"X-%d: x\r\n" % i for i in range(10_000)),
        put("Transfer-Encoding: chunked") + b"1;" + b"x" * (1 << 20),
        put("Transfer-Encoding: chunked") + b"0\r\nX: " + b"x" * (1 << 20),
    ],
    ids=["a byte", "megabytes", "a path", "many", "an extension of a chunk", "a trailer"],
)
def test_a_header_over_the_limit_is_refused_at_once(hasty: Service, content: bytes) -> None:
    with raw.connect(hasty.url) as client:
        raw.send(client, content)
        answer = raw.answer(client)
        assert (answer.status, answer.json["code"]) == (431, "header_too_large")
        assert answer.headers["connection"] == "close"
        assert str(HEADER_BYTES) in answer.json["detail"]
        assert raw.is_closed(client)


@pytest.mark.parametrize("before", [b"", GET + b"\r\n"], ids=["first", "next"])
def test_a_header_that_does_not_come(hasty: Service, before: bytes) -> None:
    with raw.connect(hasty.url) as client:
        client.sendall(before + GET)
        if before:
            assert raw.answer(client).status == 200
        answer = raw.answer(client)
        assert (answer.status, answer.json["code"]) == (408, "header_too_slow")
        assert raw.is_closed(client)


def test_who_asks_nothing_is_let_go(hasty: Service) -> None:
    with raw.connect(hasty.url) as silent, raw.connect(hasty.url) as idle:
        idle.sendall(GET + b"\r\n")
        assert raw.answer(idle).status == 200
        assert raw.is_closed(silent)
        assert raw.is_closed(idle)


@pytest.fixture(scope="module")
def narrow(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service without keys that has four connections, and little memory for bodies."""
    variables: dict[str, Any] = {
        "STREAMER_SERVER__MAX_CONNECTIONS": "4",
        "STREAMER_LIMITS__BODIES_BYTES": "3000",
    }
    with Service(bundle, tmp_path_factory.mktemp("narrow") / "data", **variables) as running:
        running.wait_until_ready()
        running.api.close()
        yield running


def once(service: Service, path: str) -> raw.Answer:
    (answer,) = raw.exchange(service.url, raw.request("GET", path, "Connection: close"))
    return answer


def test_idle_connections_give_way_to_new_ones(narrow: Service) -> None:
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(raw.connect(narrow.url)) for _ in range(12)]
        assert raw.is_closed(idle[0])  # the one that has waited longest
        assert once(narrow, "/v1/streamers").status == 200
        idle[-1].sendall(GET + b"\r\n")  # the last one is still there
        assert raw.answer(idle[-1]).status == 200


def test_where_all_connections_are_in_use_probes_are_answered(narrow: Service) -> None:
    with contextlib.ExitStack() as stack:
        busy = [stack.enter_context(raw.connect(narrow.url)) for _ in range(4)]
        for client in busy:
            client.sendall(put("Content-Length: 100", "Expect: 100-continue"))
            assert b" 100 " in client.recv(100)  # its body is waited for
        for _ in range(5):
            assert once(narrow, "/livez").status == 200
            refused = once(narrow, "/v1/streamers")
            assert (refused.status, refused.json["code"]) == (503, "too_many_connections")
            assert refused.headers["retry-after"] == "1"
            assert refused.headers["connection"] == "close"
            assert refused.headers["x-request-id"] == refused.json["request_id"]
        told = once(narrow, "/metrics").body.decode()
        assert "\nstreamer_connections_limit 4.0\n" in told
        busy[0].close()
        wait_until(lambda: once(narrow, "/v1/streamers").status == 200, "one may come again")


def test_bodies_beyond_the_memory_for_them_are_refused(narrow: Service) -> None:
    bio = json.dumps({"bio": "x" * 1500}).encode()
    with raw.connect(narrow.url) as first:
        first.sendall(put("Content-Length: 2500") + b" " * 2000)

        def refused() -> bool:
            """Once what the first sent is taken in."""
            content = put("Connection: close", f"Content-Length: {len(bio)}") + bio
            (answer,) = raw.exchange(narrow.url, content)
            if answer.status == 503:
                assert answer.json["code"] == "overloaded"
                assert answer.headers["retry-after"] == "1"
            return answer.status == 503

        wait_until(refused, "there is no memory left")
        first.sendall(b" " * 498 + b"{}")
        assert raw.answer(first).status in (200, 201)
    assert not refused()


def test_more_requests_than_can_be_answered_are_refused(api: Api, service: Service) -> None:
    """Writes of many lines, which are few at once; others are answered meanwhile."""
    key = create(api, role="admin", limits={"streamers:write": 0})["key"]
    head = bulk(f"Authorization: Bearer {key}")
    with contextlib.ExitStack() as stack:

        def refused() -> bool:
            clients = [stack.enter_context(raw.connect(service.url)) for _ in range(64)]
            for client in clients:
                client.sendall(head + raw.chunk(b"\n"))
            begun = {client: client.recv(12, socket.MSG_PEEK) for client in clients}
            late = [client for client, line in begun.items() if line == b"HTTP/1.1 503"]
            for client in late:
                answer = raw.answer(client)
                assert answer.json["code"] == "overloaded"
                assert answer.headers["retry-after"] == "1"
                assert answer.json["request_id"] == answer.headers["x-request-id"]
            assert api.get("/livez").status_code == 200
            assert api.get("/v1/keys").status_code == 200
            stack.close()
            return bool(late)

        wait_until(refused, "some are refused")
    line = {"headers": {"Authorization": f"Bearer {key}", **NDJSON}, "content": b"{}\n"}
    wait_until(lambda: api.post("/v1/streamers:bulk", **line).status_code == 200, "there is room")


def test_a_client_that_reads_no_answer_is_cut_off(narrow: Service) -> None:
    """Each request that is sent ahead takes memory, and its answer is never taken."""
    flood = GET + b"\r\n"
    with raw.connect(narrow.url) as client, pytest.raises(ConnectionError):
        client.sendall(flood * 200_000)
    assert once(narrow, "/v1/streamers").status == 200


def test_more_connections_than_files_are_refused_at_the_start(bundle: Path, tmp_path: Path) -> None:
    arguments = ("serve", "--bundle", bundle, "--data-dir", tmp_path / "data", "--port", 0)
    done = run(*arguments, STREAMER_SERVER__MAX_CONNECTIONS="1000000")
    assert done.returncode == 1
    assert done.stderr.startswith("error: STREAMER_SERVER__MAX_CONNECTIONS=1000000")
    assert not (tmp_path / "data").exists()
