"""What a service writes down of requests, over HTTP and with a store."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.bundles import SPACE
from tests.service.data_sets import NDJSON
from tests.service.features.audit.logs import written
from tests.service.process import wait_until

KEY = "the-first-key"
SECRETS = ("a-bio-of-a-person", "a-tag-of-a-person", "0.123456")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audit") / "data"


@pytest.fixture(scope="module")
def audited(bundle: Path, folder: Path) -> Iterator[TestClient]:
    settings = Settings.model_validate(
        {"bundle": bundle, "data_dir": folder, "api_key": KEY, "audit": {"ids": 3}}
    )
    headers = {"Authorization": f"Bearer {KEY}"}
    with TestClient(create_app(settings), base_url="http://localhost", headers=headers) as client:
        for name in ("a", "b", "c"):
            profile = {"bio": SECRETS[0], "tags": [SECRETS[1], "music"]}
            assert client.put(f"/v1/streamers/{name}", json=profile).status_code == 201
        yield client


def of(folder: Path, request_id: str) -> list[dict[str, Any]]:
    """What is in the file of a request at this moment."""
    return [e for e in written(folder) if e.get("request_id") == request_id]


def ask(client: TestClient, method: str, path: str, request_id: str, **more: Any) -> Any:
    headers = {"X-Request-Id": request_id, **more.pop("headers", {})}
    return client.request(method, path, headers=headers, **more)


@pytest.mark.parametrize(
    ("name", "method", "path", "body", "status", "expected"),
    [
        (
            "put",
            "PUT",
            "/v1/streamers/d",
            {"bio": SECRETS[0]},
            201,
            {"ids": ["d"], "results": 1, "scope": "streamers:write"},
        ),
        (
            "patch",
            "PATCH",
            "/v1/streamers/e",
            {"bio": None, "tags": ["music"]},
            200,
            {"ids": ["e"], "results": 1},
        ),
        ("put-wrong", "PUT", "/v1/streamers/d", {"nmae": SECRETS[0]}, 422, {"ids": ["d"]}),
        ("vector", "GET", "/v1/streamers/a/embedding", None, 200, {"ids": ["a"], "results": 1}),
        ("no-vector", "GET", "/v1/streamers/nobody/embedding", None, 404, {"ids": ["nobody"]}),
        ("delete", "DELETE", "/v1/streamers/e", None, 200, {"ids": ["e"], "results": 1}),
        ("keys", "GET", "/v1/keys", None, 200, {"scope": "admin"}),
        ("index", "GET", "/v1/index", None, 200, {"scope": "admin"}),
        ("audit", "GET", "/v1/audit", None, 200, {"scope": "admin"}),
    ],
)
def test_writes_keys_and_vectors_are_written_before_the_answer(
    audited: TestClient,
    folder: Path,
    name: str,
    method: str,
    path: str,
    body: Any,
    status: int,
    expected: dict[str, Any],
) -> None:
    if method in ("PATCH", "DELETE"):
        audited.put(path, json={}).raise_for_status()
    answer = ask(audited, method, path, name, json=body)
    assert answer.status_code == status, answer.text
    (entry,) = of(folder, name)
    assert entry["key_id"] == "STREAMER_API_KEY"
    assert (entry["method"], entry["status"]) == (method, status)
    assert abs(entry["at"] - time.time()) < 60
    assert expected.items() <= entry.items()


def test_a_new_key_is_named_before_it_is_shown(audited: TestClient, folder: Path) -> None:
    answer = ask(audited, "POST", "/v1/keys", "new-key", json={"name": "x", "role": "operations"})
    (entry,) = of(folder, "new-key")
    assert entry["ids"] == [answer.json()["key_id"]]
    key_id = entry["ids"][0]
    assert ask(audited, "DELETE", f"/v1/keys/{key_id}", "old-key").status_code == 200
    (entry,) = of(folder, "old-key")
    assert (entry["ids"], entry["route"]) == ([key_id], "/v1/keys/{key_id}")


def test_an_export_is_written_part_by_part(audited: TestClient, folder: Path) -> None:
    body = {"positive": [{"streamer_id": "a"}], "min_score": -1}
    answer = ask(audited, "POST", "/v1/similar/export", "export", json=body)
    *hits, _ = answer.text.splitlines()
    first, *parts = of(folder, "export")
    assert first["ids"] == ["a"]
    assert sum(e.get("results", 0) for e in (first, *parts)) == len(hits) > 0


def test_all_that_a_bulk_wrote_is_named(audited: TestClient, folder: Path) -> None:
    """More than an entry names, and of others only the number would be told."""
    lines = "".join(json.dumps({"streamer_id": f"bulk-{n}"}) + "\n" for n in range(40))
    path = "/v1/streamers:bulk"
    answer = ask(audited, "POST", path, "bulk", content=lines + "no line\n", headers=NDJSON)
    assert answer.text.count('"created"') == 40
    entries = of(folder, "bulk")
    named = [i for e in entries for i in e.get("ids", ())]
    assert named == [f"bulk-{n}" for n in range(40)]
    assert max(len(e.get("ids", ())) for e in entries) == 3
    assert sum(e.get("results", 0) for e in entries) == 40


QUESTIONS = [
    ("fast", "GET", "/v1/streamers/a/similar?k=2", None, ["a"], 2),
    ("exact", "GET", "/v1/streamers/a/similar?k=2&exact=true", None, ["a"], 2),
    ("fast-post", "POST", "/v1/similar", {"positive": [{"streamer_id": "a"}], "k": 2}, ["a"], 2),
    (
        "seeds",
        "POST",
        "/v1/similar",
        {"positive": [{"streamer_id": i} for i in "ab"], "k": 1, "exact": True},
        ["a", "b"],
        1,
    ),
    ("read", "GET", "/v1/streamers/a", None, ["a"], 1),
    ("dedup", "POST", "/v1/dedup", {"ids": ["a", "b"], "mode": "clusters"}, ["a", "b"], 2),
    (
        "compare",
        "POST",
        "/v1/compare",
        {"a": {"streamer_id": "a"}, "b": {"streamer_id": "b"}},
        ["a", "b"],
        1,
    ),
    (
        "cold",
        "POST",
        "/v1/cold-start",
        {"streamer_id": "a"},
        ["a"],
        None,
    ),
]


@pytest.mark.parametrize(("name", "method", "path", "body", "ids", "results"), QUESTIONS)
def test_questions_follow_within_a_moment(
    audited: TestClient,
    folder: Path,
    name: str,
    method: str,
    path: str,
    body: Any,
    ids: list[str],
    results: int | None,
) -> None:
    answer = ask(audited, method, path, name, json=body)
    assert answer.status_code == 200, answer.text
    wait_until(lambda: bool(of(folder, name)), "the batch is written")
    (entry,) = of(folder, name)
    assert (entry["ids"], entry["status"]) == (ids, 200)
    assert results is None or entry["results"] == results


def test_a_page_names_the_first_and_tells_the_number_of_the_rest(
    audited: TestClient, folder: Path
) -> None:
    for name in ("p", "q"):
        audited.put(f"/v1/streamers/{name}", json={}).raise_for_status()
    page = ask(audited, "GET", "/v1/streamers?limit=5", "page").json()["streamers"]
    wait_until(lambda: bool(of(folder, "page")), "the batch is written")
    (entry,) = of(folder, "page")
    assert entry["ids"] == [s["streamer_id"] for s in page[:3]]
    assert (entry["more_ids"], entry["results"]) == (2, 5)


def test_a_profile_with_vectors_is_written_before_it_is_answered(
    audited: TestClient, folder: Path
) -> None:
    """It comes back as it was given."""
    avatar = {"space": SPACE, "vector": [0.123456, 1.0, 1.0, 1.0]}
    audited.put("/v1/streamers/with-vector", json={"avatar": avatar}).raise_for_status()
    answer = ask(audited, "GET", "/v1/streamers/with-vector", "given-vector")
    assert answer.json()["profile"]["avatar"]["vector"] == avatar["vector"]
    assert len(of(folder, "given-vector")) == 1


@pytest.mark.parametrize(
    ("name", "headers", "status"),
    [
        ("none", {"Authorization": ""}, 401),
        ("unknown", {"Authorization": "Bearer not-a-key"}, 401),
        ("basic", {"Authorization": "Basic abc"}, 401),
    ],
)
def test_who_is_not_known_is_written_down_too(
    audited: TestClient, folder: Path, name: str, headers: dict[str, str], status: int
) -> None:
    answer = ask(audited, "PUT", "/v1/streamers/z", name, headers=headers, json={})
    assert answer.status_code == status
    wait_until(lambda: bool(of(folder, name)), "the batch is written")
    (entry,) = of(folder, name)
    assert (entry["key_id"], entry["status"], entry["ids"]) == (None, status, ["z"])
    assert entry["client"] == "testclient"


def test_who_may_not_is_written_down_by_the_key(audited: TestClient, folder: Path) -> None:
    key = audited.post("/v1/keys", json={"name": "x", "scopes": ["search"]}).json()
    headers = {"Authorization": f"Bearer {key['key']}"}
    for name, method, path in (
        ("may-not", "DELETE", "/v1/streamers/a"),
        ("may-not-explain", "GET", "/v1/streamers/a/similar?explain=true"),
    ):
        assert ask(audited, method, path, name, headers=headers).status_code == 403
        wait_until(lambda name=name: bool(of(folder, name)), "the batch is written")
        (entry,) = of(folder, name)
        assert (entry["key_id"], entry["status"], entry["ids"]) == (key["key_id"], 403, ["a"])


def test_a_key_in_the_path_is_not_written_down(audited: TestClient, folder: Path) -> None:
    key = audited.post("/v1/keys", json={"name": "x", "scopes": ["search"]}).json()["key"]
    ask(audited, "GET", f"/v1/streamers/{key}", "key-as-id")
    wait_until(lambda: bool(of(folder, "key-as-id")), "the batch is written")
    assert key not in json.dumps(written(folder))


@pytest.mark.slow
def test_probes_metrics_and_documentation_are_not_written_down(
    audited: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audited.app, "openapi_schema", {"made": "before"})  # it takes a second
    for path in ("/livez", "/readyz", "/metrics", "/openapi.json", "/errors"):
        assert ask(audited, "GET", path, "public").status_code == 200
    audited.get("/v1/audit")
    assert of(folder, "public") == []


def test_no_secret_body_vector_or_profile_is_in_it(audited: TestClient, folder: Path) -> None:
    body = {"positive": [{"vector": [0.123456] * 8}], "k": 2}
    audited.post("/v1/similar", json=body)
    audited.post("/v1/similar", json={"positive": [{"profile": {"bio": SECRETS[0]}}]})
    audited.get("/v1/keys")
    text = json.dumps(written(folder))
    assert not [secret for secret in (*SECRETS, KEY) if secret in text]


def test_it_is_read_in_pages(audited: TestClient, folder: Path) -> None:
    for _ in range(20):
        audited.get("/v1/keys")
    audited.get("/v1/audit")  # all before is in the file then
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        query = {"limit": 7} | ({"cursor": cursor} if cursor else {})
        page = audited.get("/v1/audit", params=query).json()
        assert len(page["entries"]) <= 7
        found += page["entries"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    numbers = [entry["n"] for entry in found]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 20


@pytest.mark.parametrize("cursor", ["x", "Li4vLi4vZXRjL3Bhc3N3ZDow", "%00", "a" * 128])
def test_a_made_up_cursor_is_refused(audited: TestClient, cursor: str) -> None:
    answer = audited.get("/v1/audit", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "cursor")


def test_it_is_filtered(audited: TestClient) -> None:
    def entries(**query: str) -> list[dict[str, Any]]:
        return audited.get("/v1/audit", params={"limit": 1000, **query}).json()["entries"]

    named = entries(streamer_id="b")
    assert named
    assert all("b" in entry["ids"] for entry in named)
    assert all(e["key_id"] == "STREAMER_API_KEY" for e in entries(key_id="STREAMER_API_KEY"))
    assert entries(key_id="nobody") == []
    middle = named[0]["at"]
    later, earlier = entries(**{"from": middle}), entries(to=middle)
    assert len(later) > 1
    assert len(earlier) > 1
    assert min(e["at"] for e in later) >= middle > max(e["at"] for e in earlier)
    answer = audited.get("/v1/audit", params={"from": "2030-01-01T00:00:00"})
    assert "needs an offset" in answer.json()["detail"]
    for number in ("1796000000", "1e-9", "-1.5"):
        answer = audited.get("/v1/audit", params={"to": number})
        assert "must be a time such as" in answer.json()["detail"]


def test_an_export_has_the_lines_of_the_files(audited: TestClient, folder: Path) -> None:
    answer = audited.get("/v1/audit/export")
    (file,) = (folder / "audit").glob("*.ndjson")
    assert file.read_bytes().startswith(answer.content)
    assert answer.headers["content-type"].startswith(NDJSON["Content-Type"])


def test_only_an_admin_reads_it(audited: TestClient) -> None:
    scopes = ["search", "streamers:read", "streamers:write", "embeddings:read", "cases"]
    key = audited.post("/v1/keys", json={"name": "x", "scopes": scopes}).json()["key"]
    for path in ("/v1/audit", "/v1/audit/export"):
        answer = audited.get(path, headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 403


def test_nothing_is_done_that_can_not_be_written_down(
    audited: TestClient, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    audited.get("/v1/audit")  # no question waits
    log = audited.app_state["services"].audit
    file = log._writer._file  # type: ignore[attr-defined]
    kept, full = os.dup(file), os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, file)
    try:
        # The first one finds out. It may have been done, and is not told.
        first = audited.put("/v1/streamers/full", json={})
        assert (first.status_code, first.json()["code"]) == (503, "audit_unavailable")
        assert "may have been done" in first.json()["detail"]
        for method, path in (
            ("PUT", "/v1/streamers/later"),
            ("DELETE", "/v1/streamers/a"),
            ("GET", "/v1/streamers/a/embedding"),
            ("GET", "/v1/keys"),
        ):
            answer = audited.request(method, path, json={} if method == "PUT" else None)
            assert (answer.status_code, answer.json()["code"]) == (503, "audit_unavailable")
            assert answer.headers["retry-after"] == "1"
        counted = audited.get("/metrics").text  # as other than overload
        for route in ("/v1/streamers/{streamer_id}", "/v1/streamers/{streamer_id}/embedding"):
            assert f'route="{route}",status="503"' in counted
        assert 'route="other",status="503"' not in counted
        assert audited.get("/v1/streamers/a/similar").status_code == 200
        ready = audited.get("/readyz")
        assert ready.status_code == 200
        assert "audit log can't be written (No space left" in ready.json()["degraded_because"]
    finally:
        os.dup2(kept, file)
        os.close(kept)
        os.close(full)
    wait_until(lambda: log.trouble() is None, "it is tried again")
    assert f"the audit log in {folder / 'audit'} is written again" in caplog.messages
    stored = audited.get("/v1/streamers?limit=1000").json()["streamers"]
    assert {"a", "full"} <= {s["streamer_id"] for s in stored}
    assert audited.put("/v1/streamers/later", json={}).status_code == 201  # it was not stored
    assert audited.get("/readyz").json()["degraded_because"] is None
