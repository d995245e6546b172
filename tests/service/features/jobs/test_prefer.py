"""`Prefer: respond-async`: long requests become jobs, and nothing else changes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.features.similar.schemas import ExportIn
from service.http.schemas import has_more_bytes
from service.settings import Settings
from tests.service.conftest import put, wait_until_visible
from tests.service.data_sets import NDJSON, profiles
from tests.service.features.transfers.waiting import ended, lines_of, submitted
from tests.service.http.test_bad_input import problem

ASYNC = {"Prefer": "respond-async"}
BULK = "/v1/streamers:bulk"
EXPORT = "/v1/similar/export"
QUESTION: dict[str, Any] = {"positive": [{"profile": {"tags": ["cooking"]}}], "min_score": -1}


def applied(answer: Any) -> str:
    assert answer.headers["preference-applied"] == "respond-async"
    return submitted(answer)


@pytest.mark.slow
def test_a_bulk_write_becomes_an_import(client: TestClient) -> None:
    lines = "".join(profiles(50)) + "rubbish\n"
    path = applied(client.post(BULK, content=lines, headers=NDJSON | ASYNC))
    job = ended(client, path)
    assert (job["kind"], job["state"]) == ("import", "succeeded")
    result = job["result"]
    assert (result["created"], result["refused"]) == (50, 1)
    # As without the preference, what is stored like this already is written unless it is skipped.
    path = applied(client.post(BULK, content=lines, headers=NDJSON | ASYNC))
    result = ended(client, path)["result"]
    assert (result["updated"], result["unchanged"]) == (50, 0)
    skipping = client.post(
        BULK, params={"skip_unchanged": True}, content=lines, headers=NDJSON | ASYNC
    )
    result = ended(client, applied(skipping))["result"]
    assert (result["updated"], result["unchanged"]) == (0, 50)


@pytest.mark.slow
def test_an_export_of_similar_streamers_becomes_a_file(client: TestClient) -> None:
    last = [put(client, f"s{i}", tags=["cooking"]) for i in range(20)][-1]
    wait_until_visible(client, last)
    at_once = lines_of(client.post(EXPORT, json=QUESTION))
    path = applied(client.post(EXPORT, json=QUESTION, headers=ASYNC))
    job = ended(client, path)
    assert (job["kind"], job["state"]) == ("similar_export", "succeeded")
    assert job["result"]["lines"] == job["progress"]["done"] == 21
    assert lines_of(client.get(path + "/result")) == at_once


def test_a_key_that_reads_no_jobs_starts_none(with_keys: TestClient) -> None:
    def key(*scopes: str) -> dict[str, str]:
        wanted = {"name": "nightly", "scopes": list(scopes)}
        made = with_keys.post("/v1/keys", json=wanted, headers={"Authorization": "Bearer first"})
        return {"Authorization": f"Bearer {made.json()['key']}"}

    question = {"positive": [{"profile": {"tags": ["cooking"]}}], "min_score": 0}
    asks = key("search")
    said = problem(
        with_keys.post(EXPORT, json=question, headers=ASYNC | asks), 403, "missing_scope"
    )
    assert "'streamers:read'" in said["detail"]
    assert with_keys.post(EXPORT, json=question, headers=asks).status_code == 200
    both = key("search", "streamers:read")
    path = applied(with_keys.post(EXPORT, json=question, headers=ASYNC | both))
    assert with_keys.get(path, headers=both).status_code == 200


@pytest.mark.slow
def test_what_a_job_wrote_needs_the_scopes_of_its_question(with_keys: TestClient) -> None:
    def key(*scopes: str) -> dict[str, str]:
        wanted = {"name": "x", "scopes": list(scopes)}
        made = with_keys.post("/v1/keys", json=wanted, headers={"Authorization": "Bearer first"})
        return {"Authorization": f"Bearer {made.json()['key']}"}

    writes = key("streamers:read", "streamers:write", "search", "explain")
    reads, searches = key("streamers:read"), key("streamers:read", "search")
    with_keys.headers.update(writes)
    last = [put(with_keys, f"s{i}", tags=["cooking"]) for i in range(5)][-1]
    wait_until_visible(with_keys, last)
    seeds = {"positive": [{"streamer_id": "s0"}]}
    explained = {**seeds, "k": 3, "explain": "short"}
    saved = with_keys.put("/v1/lists/mine", json={"title": "x", "question": explained})
    assert saved.is_success, saved.text
    for path, body, allowed, may_cancel in (
        (EXPORT, {**seeds, "min_score": -1}, (403, 200, 200), (False, True, True)),
        ("/v1/lists:preview", {**seeds, "k": 3}, (403, 200, 200), (False, True, True)),
        ("/v1/lists:preview", explained, (403, 403, 200), (False, True, True)),
        ("/v1/lists/mine:run", {}, (403, 403, 200), (False, True, True)),
        ("/v1/jobs/exports", {}, (200, 200, 200), (True, True, True)),
    ):
        job = submitted(with_keys.post(path, json=body, headers=ASYNC))
        assert ended(with_keys, job)["state"] == "succeeded"
        answers = [with_keys.get(job + "/result", headers=k) for k in (reads, searches, writes)]
        assert tuple(answer.status_code for answer in answers) == allowed, path
        for answer in answers:
            assert answer.status_code == 200 or answer.json()["code"] == "missing_scope"
        # Whoever may begin such a job may cancel it; this one has ended.
        cancels = [with_keys.post(job + ":cancel", headers=k) for k in (reads, searches, writes)]
        found = [answer.status_code for answer in cancels]
        assert found == [409 if may else 403 for may in may_cancel], path


def test_a_job_is_retried_with_the_scopes_of_its_question(bundle: Path, tmp_path: Path) -> None:
    given = {"bundle": bundle, "data_dir": tmp_path / "data", "api_key": "first"}
    settings = Settings.model_validate({**given, "jobs": {"at_once": 0}})
    admin = {"Authorization": "Bearer first"}
    with TestClient(create_app(settings), headers=admin) as client:
        key = client.post("/v1/keys", json={"name": "x", "scopes": ["streamers:read", "search"]})
        searches = {"Authorization": f"Bearer {key.json()['key']}"}
        wait_until_visible(client, put(client, "s0", tags=["cooking"]))
        explained = {"positive": [{"streamer_id": "s0"}], "k": 3, "explain": "short"}
        path = submitted(client.post("/v1/lists:preview", json=explained, headers=ASYNC))
        cancelled = client.post(path + ":cancel", headers=searches).json()
        assert (cancelled["state"], cancelled["key_id"]) == ("cancelled", "STREAMER_API_KEY")
        refused = problem(client.post(path + ":retry", headers=searches), 403, "missing_scope")
        assert "'explain'" in refused["detail"]
        assert client.post(path + ":retry").json()["state"] == "queued"


def test_a_job_names_the_key_that_started_or_last_retried_it(bundle: Path, tmp_path: Path) -> None:
    given = {"bundle": bundle, "data_dir": tmp_path / "data", "api_key": "first"}
    settings = Settings.model_validate({**given, "jobs": {"at_once": 0}})
    with TestClient(create_app(settings), headers={"Authorization": "Bearer first"}) as client:
        key = client.post("/v1/keys", json={"name": "nightly", "role": "operations"}).json()
        nightly = {"Authorization": f"Bearer {key['key']}"}
        export = client.post("/v1/jobs/exports", json={}, headers=nightly).json()
        rebuild = client.post("/v1/duplicates:rebuild", headers=nightly).json()
        client.delete(f"/v1/keys/{key['key_id']}").raise_for_status()
        shown = client.get("/v1/jobs").json()["jobs"]
        assert {job["job_id"] for job in shown} == {export["job_id"], rebuild["job_id"]}
        assert {(job["key_id"], job["key_name"]) for job in shown} == {(key["key_id"], "nightly")}
        path = f"/v1/jobs/{export['job_id']}"
        client.post(path + ":cancel").raise_for_status()
        assert client.get(path).json()["key_id"] == key["key_id"]
        assert client.post(path + ":retry").json()["key_id"] == "STREAMER_API_KEY"


@pytest.fixture
def with_keys(bundle: Path, tmp_path: Path) -> Iterator[TestClient]:
    given = {"bundle": bundle, "data_dir": tmp_path / "data", "api_key": "first"}
    with TestClient(create_app(Settings.model_validate(given))) as client:
        yield client


def test_what_the_question_asks_for_is_missing(client: TestClient) -> None:
    question = {**QUESTION, "positive": [{"streamer_id": "nobody"}]}
    path = applied(client.post(EXPORT, json=question, headers=ASYNC))
    job = ended(client, path)
    assert (job["state"], job["error"]["code"]) == ("failed", "streamer_not_found")
    problem(client.get(path + "/result"), 409, "job_state_conflict")


@pytest.mark.parametrize("sign", ["x", "界", "\x01", '"'])
def test_a_question_is_as_long_as_its_json(sign: str) -> None:
    asked = {
        "positive": [{"profile": {"bio": sign * 50, "attributes": {"a": True}}, "weight": 2.5}],
        "min_score": 0.5,
        "filter": {"must": [{"field": "f", "any": [sign, 1, 2.25]}], "must_not": []},
    }
    body = ExportIn.model_validate(asked)
    size = len(body.model_dump_json(exclude_unset=True).encode())
    assert has_more_bytes(body, size - 1)
    assert not has_more_bytes(body, size)
    spaced = json.dumps(body.model_dump(exclude_unset=True), ensure_ascii=False).encode()
    assert has_more_bytes(body, len(spaced) - 1, compact=False)
    assert not has_more_bytes(body, len(spaced), compact=False)


def test_a_long_question_is_answered_at_once(client: TestClient) -> None:
    question = {**QUESTION, "positive": [{"profile": {"bio": "x" * 70_000}}]}
    answer = client.post(EXPORT, json=question, headers=ASYNC)
    assert "preference-applied" not in answer.headers
    assert answer.status_code != 202


def test_the_same_request_becomes_one_job(client: TestClient) -> None:
    headers = ASYNC | {"Idempotency-Key": '"prefer-1"'}
    paths = {applied(client.post(EXPORT, json=QUESTION, headers=headers)) for _ in range(3)}
    assert len(paths) == 1
    other = client.post(EXPORT, json={**QUESTION, "min_score": 0.5}, headers=headers)
    problem(other, 422, "idempotency_key_reused")


def test_the_same_upload_becomes_one_import(client: TestClient) -> None:
    headers = NDJSON | {"Idempotency-Key": '"upload-1"'}
    lines = "".join(profiles(10))
    answers = [client.post("/v1/jobs/imports", content=lines, headers=headers) for _ in range(3)]
    assert len({submitted(answer) for answer in answers}) == 1
    assert all("preference-applied" not in answer.headers for answer in answers)
    ended(client, submitted(answers[0]))
    other = client.post("/v1/jobs/imports", content=lines + "{}", headers=headers)
    problem(other, 422, "idempotency_key_reused")


@pytest.mark.parametrize(
    "prefer",
    [
        "Respond-Async",
        "wait=10, respond-async",
        "respond-async; foo=bar",
        'x="a, b", respond-async',
        ", respond-async",
    ],
)
def test_forms_of_the_preference(client: TestClient, prefer: str) -> None:
    answer = client.post("/v1/jobs/exports", json={}, headers={"Prefer": prefer})
    ended(client, applied(answer))


@pytest.mark.parametrize(
    "prefer",
    [
        "",
        "return=minimal",
        "wait=5",
        'x="respond-async"',
        "respond-async=1",
        "respond-asynchron",
        # Malformed: read in one go, where trying each way to split them would take days.
        "a" * 60_000 + '"',
        " " * 60_000 + '"',
        '"' * 60_001,
        '"\\"' * 20_000,
    ],
    ids=lambda prefer: prefer[:20],
)
def test_other_preferences_are_ignored(client: TestClient, prefer: str) -> None:
    answer = client.post(EXPORT, json=QUESTION, headers={"Prefer": prefer})
    assert answer.status_code == 200
    assert "preference-applied" not in answer.headers
    assert "reached" in json.loads(answer.text.splitlines()[-1])


def test_routes_that_never_take_long_ignore_it(client: TestClient) -> None:
    answer = client.post("/v1/similar", json=QUESTION, headers=ASYNC)
    assert answer.status_code == 200
    assert "preference-applied" not in answer.headers
