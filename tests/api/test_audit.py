"""The audit log: who asked or changed what, about whom, and what is never in it."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest

from tests.support.api import NDJSON, Api
from tests.support.bundles import SPACE
from tests.support.service import Service, run, wait_until

FIRST_ADMIN = "STREAMER_API_KEY"
SECRETS = ("a-bio-of-a-person", "a-tag-of-a-person", "0.123456")
MOST_IDS = 3


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Few ids in an entry, and many files."""
    return {"STREAMER_AUDIT__IDS": str(MOST_IDS), "STREAMER_AUDIT__FILE_BYTES": "4096"}


def written(service: Service) -> list[dict[str, Any]]:
    """What is in the files at this moment, oldest first."""
    files = sorted((service.data_dir / "audit").glob("*.ndjson"))
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]


def ask(api: Api, method: str, path: str, request_id: str, body: Any = None, **more: Any) -> Any:
    headers = {"X-Request-Id": request_id, **more.pop("headers", {})}
    return api.request(method, path, json=body, headers=headers, **more)


def of(service: Service, request_id: str) -> list[dict[str, Any]]:
    """What is in the files of a request; of questions wait, which follow within a moment."""
    found = list[dict[str, Any]]()

    def is_there() -> bool:
        found[:] = [e for e in written(service) if e.get("request_id") == request_id]
        return bool(found)

    wait_until(is_there, f"{request_id} is written")
    return found


def pages(api: Api, **query: Any) -> list[dict[str, Any]]:
    return api.all("/v1/audit", "entries", **{"limit": 1000, **query})


@pytest.fixture(scope="module")
def three(api: Api) -> None:
    """Streamers a, b and c."""
    profile = {"bio": SECRETS[0], "tags": [SECRETS[1], "music"], "name": "channel"}
    api.write({"streamer_id": name, **profile} for name in "abc")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "expected"),
    [
        ("PUT", "/v1/streamers/{}", {}, 201, {"ids": ["{}"], "results": 1}),
        ("PUT", "/v1/streamers/{}", {"nmae": SECRETS[0]}, 422, {"ids": ["{}"]}),
        ("PATCH", "/v1/streamers/c", {"bio": None}, 200, {"ids": ["c"], "results": 1}),
        ("DELETE", "/v1/streamers/nobody", None, 404, {"ids": ["nobody"]}),
        ("DELETE", "/v1/streamers/nobody?erase=true", None, 200, {"action": "erase"}),
        ("GET", "/v1/streamers/a/embedding", None, 200, {"ids": ["a"], "results": 1}),
        ("GET", "/v1/streamers/nobody/embedding", None, 404, {"ids": ["nobody"]}),
        ("GET", "/v1/keys", None, 200, {"scope": "admin", "route": "/v1/keys"}),
        ("GET", "/v1/index", None, 200, {"scope": "admin"}),
        ("DELETE", f"/v1/spaces/{SPACE}/users/u-1", None, 404, {"ids": [SPACE, "u-1"]}),
    ],
)
@pytest.mark.usefixtures("three")
def test_changes_keys_and_vectors_are_in_the_file_before_the_answer(
    api: Api,
    service: Service,
    method: str,
    path: str,
    body: Any,
    status: int,
    expected: dict[str, Any],
) -> None:
    name = uuid4().hex
    answer = ask(api, method, path.format(name), name, body)
    assert answer.status_code == status, answer.text
    (entry,) = [e for e in written(service) if e.get("request_id") == name]
    assert (entry["kind"], entry["key_id"]) == ("request", FIRST_ADMIN)
    assert (entry["method"], entry["status"]) == (method, status)
    if "ids" in expected:
        expected = {**expected, "ids": [each.format(name) for each in expected["ids"]]}
    assert expected.items() <= entry.items()
    assert "client" not in entry


def test_keys_are_named_by_their_ids_and_what_changed(api: Api, service: Service) -> None:
    body = {"name": "x", "scopes": ["search"]}
    key_id = ask(api, "POST", "/v1/keys", "key-made", body).json()["key_id"]
    path = f"/v1/keys/{key_id}"
    ask(api, "PATCH", path, "key-changed", {"role": "operations", "limits": {"search": 5}})
    ask(api, "POST", f"{path}:rotate", "key-rotated")
    ask(api, "DELETE", path, "key-gone")
    for request_id, method, action in (
        ("key-made", "POST", None),
        ("key-changed", "PATCH", "change limits, role"),
        ("key-rotated", "POST", None),
        ("key-gone", "DELETE", None),
    ):
        (entry,) = of(service, request_id)
        assert (entry["ids"], entry["method"]) == ([key_id], method)
        assert entry.get("action") == action


SEEDS = {"positive": [{"streamer_id": "a"}, {"streamer_id": "b"}], "k": 1, "exact": True}
SIDES = {"a": {"streamer_id": "a"}, "b": {"streamer_id": "b"}}


@pytest.mark.parametrize(
    ("method", "path", "body", "ids", "results"),
    [
        ("GET", "/v1/streamers/a/similar?k=2", None, ["a"], 2),
        ("GET", "/v1/streamers/a/similar?k=2&exact=true", None, ["a"], 2),
        ("POST", "/v1/similar", {"positive": [{"streamer_id": "a"}], "k": 2}, ["a"], 2),
        ("POST", "/v1/similar", SEEDS, ["a", "b"], 1),
        ("GET", "/v1/streamers/a", None, ["a"], 1),
        ("POST", "/v1/dedup", {"ids": ["a", "b"], "mode": "clusters"}, ["a", "b"], 2),
        ("POST", "/v1/compare", SIDES, ["a", "b"], 1),
        ("POST", "/v1/cold-start", {"streamer_id": "a"}, ["a"], None),
    ],
)
@pytest.mark.usefixtures("three")
def test_questions_name_whom_they_are_about_and_how_many_answered(
    api: Api,
    service: Service,
    method: str,
    path: str,
    body: Any,
    ids: list[str],
    results: int | None,
) -> None:
    name = uuid4().hex
    assert ask(api, method, path, name, body).status_code == 200
    (entry,) = of(service, name)
    assert (entry["ids"], entry["status"], entry["key_id"]) == (ids, 200, FIRST_ADMIN)
    assert results is None or entry["results"] == results


@pytest.mark.usefixtures("three")
def test_of_a_page_the_first_are_named_and_the_rest_counted(api: Api, service: Service) -> None:
    api.write({"streamer_id": name} for name in "xyz")
    page = ask(api, "GET", "/v1/streamers?limit=5", "page").json()["streamers"]
    (entry,) = of(service, "page")
    assert entry["ids"] == [each["streamer_id"] for each in page[:MOST_IDS]]
    assert (entry["more_ids"], entry["results"]) == (2, 5)


@pytest.mark.usefixtures("three")
def test_every_id_of_a_bulk_and_of_a_job_is_named(api: Api, service: Service) -> None:
    with api.with_key("streamers:write", "streamers:read") as nightly:
        text = "".join(json.dumps({"streamer_id": f"bulk-{n}"}) + "\n" for n in range(10))
        headers = {**NDJSON, "X-Request-Id": "bulk"}
        answer = nightly.post("/v1/streamers:bulk", content=text + "no line\n", headers=headers)
        assert answer.text.count('"created"') == 10
        entries = of(service, "bulk")
        assert [i for e in entries for i in e.get("ids", ())] == [f"bulk-{n}" for n in range(10)]
        assert max(len(e.get("ids", ())) for e in entries) == MOST_IDS
        assert sum(e.get("results", 0) for e in entries) == 10
        lines = "".join(
            json.dumps({"streamer_id": f"job-{n:02}", "tags": ["odd" if n % 2 else "even"]}) + "\n"
            for n in range(20)
        )
        headers = {**NDJSON, "X-Request-Id": "import"}
        answer = nightly.post("/v1/jobs/imports", content=lines, headers=headers)
        job = nightly.finished(answer.json())
        (asked,) = of(service, "import")
        assert asked["ids"] == [job["job_id"]]
        wanted = {"filter": {"must": [{"field": "tags", "any": ["odd"]}]}}
        export = nightly.finished(nightly.ok("POST", "/v1/jobs/exports", wanted, status=202))
        (key,) = {e["key_id"] for e in entries}
    assert key not in (None, FIRST_ADMIN)
    for done, action, expected in (
        (job, "import", [f"job-{n:02}" for n in range(20)]),
        (export, "export", [f"job-{n:02}" for n in range(1, 20, 2)]),
    ):
        entries = [e for e in written(service) if e.get("job_id") == done["job_id"]]
        assert [i for e in entries for i in e["ids"]] == expected
        assert {(e["kind"], e["key_id"], e["action"]) for e in entries} == {("job", key, action)}
    named = [e for e in pages(api, streamer_id="job-05") if e["kind"] == "job"]
    assert [e["action"] for e in named] == ["import", "export"]


@pytest.mark.usefixtures("three")
def test_who_reads_the_file_of_a_job_reads_so_many(api: Api, service: Service) -> None:
    body = {"positive": [{"streamer_id": "a"}], "min_score": -1}
    answer = ask(api, "POST", "/v1/similar/export", "export", body)
    *hits, _ = answer.text.splitlines()
    first, *parts = of(service, "export")
    assert first["ids"] == ["a"]
    assert sum(e.get("results", 0) for e in (first, *parts)) == len(hits) > 0
    later = {"headers": {"Prefer": "respond-async"}}
    job = api.finished(api.ok("POST", "/v1/similar/export", body, status=202, **later))
    path = f"/v1/jobs/{job['job_id']}/result"
    for part, status, results in (
        (None, 200, job["result"]["streamers"]),
        ("9-", 206, job["result"]["streamers"]),
        ("99999999-", 416, None),
    ):
        name = f"read-{status}"
        headers = {} if part is None else {"Range": f"bytes={part}"}
        assert ask(api, "GET", path, name, headers=headers).status_code == status
        (entry,) = of(service, name)
        assert (entry["ids"], entry.get("results")) == ([job["job_id"]], results)


@pytest.mark.usefixtures("three")
def test_who_is_refused_is_named_by_key_or_address(api: Api, service: Service) -> None:
    key = api.ok("POST", "/v1/keys", {"name": "x", "scopes": ["search"]}, status=201)
    may_not = {"Authorization": f"Bearer {key['key']}"}
    for name, path, headers, status, key_id in (
        ("nobody", "/v1/streamers/z", {"Authorization": ""}, 401, None),
        ("unknown", "/v1/streamers/z", {"Authorization": "Bearer not-a-key"}, 401, None),
        ("may-not", "/v1/streamers/z", may_not, 403, key["key_id"]),
        ("may-not-too", "/v1/streamers/z/similar?explain=true", may_not, 403, key["key_id"]),
    ):
        assert ask(api, "GET", path, name, headers=headers).status_code == status
        (entry,) = of(service, name)
        assert (entry["key_id"], entry["status"], entry["ids"]) == (key_id, status, ["z"])
        assert entry["client"].startswith("127.0.0.1")


@pytest.mark.usefixtures("three")
def test_no_secret_body_vector_or_profile_is_in_it(api: Api, service: Service) -> None:
    key = api.ok("POST", "/v1/keys", {"name": "x", "scopes": ["search"]}, status=201)["key"]
    api.post("/v1/similar", json={"positive": [{"vector": [0.123456] * 128}], "k": 2})
    api.post("/v1/similar", json={"positive": [{"profile": {"bio": SECRETS[0]}}]})
    api.get("/v1/streamers", params={"q": SECRETS[0]})
    ask(api, "GET", f"/v1/streamers/{key}", "key-as-id")
    of(service, "key-as-id")
    for path in ("/livez", "/readyz", "/metrics", "/errors", "/docs"):
        assert ask(api, "GET", path, "not-noted").status_code == 200
    text = api.get("/v1/audit/export").text
    secrets = (*SECRETS, key, "the-admin-key", "not-noted")
    assert not [secret for secret in secrets if secret in text]


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_pages_lead_through_all_of_it(api: Api, order: str) -> None:
    for _ in range(40):
        assert api.get("/v1/keys?limit=1").status_code == 200
    before = [e for e in pages(api, order="oldest") if e["kind"] != "file"]
    begin = before[-1]["n"]  # the pages themselves are noted, too
    found = list[dict[str, Any]]()
    for page in api.pages("/v1/audit", "entries", limit=7, order=order):
        assert len(page) <= 7
        found += page
    numbers = [entry["n"] for entry in found if entry["n"] <= begin]
    expected = list(range(1, begin + 1))
    assert numbers == (expected if order == "oldest" else expected[::-1])
    assert len({entry["chain"] for entry in found}) == 1


@pytest.mark.usefixtures("three")
def test_filters_are_those_of_key_streamer_and_time(api: Api) -> None:
    key = api.ok("POST", "/v1/keys", {"name": "x", "scopes": ["streamers:read"]}, status=201)
    with Api(str(api.base_url), key["key"]) as reader:
        for name in "aba":
            assert reader.get(f"/v1/streamers/{name}").status_code == 200
    wait_until(lambda: len(pages(api, key_id=key["key_id"])) == 3, "all are written")
    mine = pages(api, key_id=key["key_id"])
    assert [entry["ids"] for entry in mine] == [["a"], ["b"], ["a"]]
    both = pages(api, key_id=key["key_id"], streamer_id="a", limit=1)
    assert [entry["n"] for entry in both] == [mine[0]["n"], mine[2]["n"]]
    named = pages(api, streamer_id="b")
    assert {mine[1]["n"]} < {entry["n"] for entry in named}
    assert all("b" in entry["ids"] for entry in named)
    assert pages(api, key_id="nobody") == []
    middle = mine[1]["at"]
    later = {entry["n"] for entry in pages(api, **{"from": middle})}
    earlier = {entry["n"] for entry in pages(api, to=middle)}
    assert {mine[1]["n"], mine[2]["n"]} <= later
    assert mine[0]["n"] in earlier
    assert not later & earlier
    text = api.get("/v1/audit/export", params={"key_id": key["key_id"]}).text
    assert [json.loads(line)["n"] for line in text.splitlines()] == [e["n"] for e in mine]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        *(({"cursor": c}, "cursor") for c in ("x", "Li4vLi4vZXRjL3Bhc3N3ZDow", "a" * 129)),
        ({"from": "2030-01-01T00:00:00"}, "from"),
        ({"to": "1796000000"}, "to"),
        ({"to": "soon"}, "to"),
        ({"order": "random"}, "order"),
        ({"limit": 1001}, "limit"),
        ({"streamer_id": "a b"}, "streamer_id"),
    ],
)
def test_a_wrong_question_about_it_is_named(
    api: Api, query: dict[str, Any], parameter: str
) -> None:
    said = api.refused("GET", "/v1/audit", params=query, status=422, code="invalid_request")
    assert [error["parameter"] for error in said["errors"]] == [parameter]


def test_a_cursor_is_of_one_order(api: Api) -> None:
    cursor = api.ok("GET", "/v1/audit?limit=1&order=newest")["next_cursor"]
    params = {"cursor": cursor, "limit": 1}
    said = api.refused("GET", "/v1/audit", params=params, status=422, code="invalid_request")
    assert [error["parameter"] for error in said["errors"]] == ["cursor"]


# Whether it can be believed


def changed(line: bytes) -> bytes:
    return line.replace(b'"kind"', b'"kinD"', 1)


HARMS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "a changed line": lambda lines: [*lines[:3], changed(lines[3]), *lines[4:]],
    "a missing line": lambda lines: [*lines[:3], *lines[4:]],
    "another order": lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]],
}


def test_the_files_have_the_lines_of_the_export_and_are_verified(
    api: Api, service: Service, tmp_path: Path
) -> None:
    for _ in range(40):
        assert api.get("/v1/keys?limit=1").status_code == 200
    exported = api.get("/v1/audit/export")
    assert exported.headers["content-type"].startswith("application/x-ndjson")
    folder = service.data_dir / "audit"
    files = sorted(folder.glob("*.ndjson"))
    assert len(files) > 2
    assert b"".join(file.read_bytes() for file in files).startswith(exported.content)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    done = run("verify-audit", "--data-dir", service.data_dir)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = files[1].read_bytes().splitlines(keepends=True)
    for i, (name, harm) in enumerate(HARMS.items()):
        data = tmp_path / str(i)
        shutil.copytree(folder, data / "audit")
        (data / "audit" / files[1].name).write_bytes(b"".join(harm(lines)))
        done = run("verify-audit", "--data-dir", data, "--offline")
        assert done.returncode == 1, name
        assert files[1].name in done.stdout + done.stderr, name


@contextmanager
def full_disk(service: Service) -> Iterator[None]:
    """The service can make no file longer, as with a quota; its store can."""
    process = psutil.Process(service.process.pid)
    before = process.rlimit(psutil.RLIMIT_FSIZE)
    process.rlimit(psutil.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        process.rlimit(psutil.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("three")
def test_nothing_is_done_that_can_not_be_written_down(api: Api, service: Service) -> None:
    with full_disk(service):
        # The first one finds out. It may have been done, and is not told.
        for method, path, body in (
            ("PUT", "/v1/streamers/disk-full", {}),
            ("PUT", "/v1/streamers/disk-later", {}),
            ("DELETE", "/v1/streamers/a", None),
            ("GET", "/v1/streamers/a/embedding", None),
            ("GET", "/v1/keys", None),
        ):
            answer = api.request(method, path, json=body)
            assert (answer.status_code, answer.json()["code"]) == (503, "audit_unavailable")
            assert answer.headers["retry-after"] == "1"
        assert ask(api, "GET", "/v1/streamers/a/similar", "waits").status_code == 200
        ready = api.get("/readyz")
        assert ready.status_code == 200
        assert "audit log" in ready.json()["degraded_because"]
        assert "\nstreamer_audit_up 0.0" in api.get("/metrics").text
    wait_until(lambda: api.ok("GET", "/readyz")["degraded_because"] is None, "it is tried again")
    assert api.get("/v1/streamers/a").status_code == 200
    assert api.get("/v1/streamers/disk-later").status_code == 404
    assert len(of(service, "waits")) == 1
