"""`/v1/jobs` over HTTP."""

import threading
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.features.jobs import endpoints
from service.features.jobs.schemas import JobOut
from tests.service.data_sets import NDJSON
from tests.service.http.test_bad_input import problem

ASYNC = {"Prefer": "respond-async"}
UNKNOWN = "0" * 28


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/v1/jobs/{UNKNOWN}"),
        ("GET", f"/v1/jobs/{UNKNOWN}/events"),
        ("GET", f"/v1/jobs/{UNKNOWN}/result"),
        ("POST", f"/v1/jobs/{UNKNOWN}:cancel"),
        ("POST", f"/v1/jobs/{UNKNOWN}:retry"),
    ],
)
def test_a_job_that_is_not_known(client: TestClient, method: str, path: str) -> None:
    said = problem(client.request(method, path), 404, "job_not_found")["detail"]
    assert said == f"job {UNKNOWN!r} is not known; finished jobs are kept for 24 h at most"


@pytest.mark.parametrize("job_id", ["x", UNKNOWN + "0", UNKNOWN.replace("0", "A")])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_no_id_of_a_job(client: TestClient, method: str, job_id: str) -> None:
    path = f"/v1/jobs/{job_id}" if method == "GET" else f"/v1/jobs/{job_id}:cancel"
    problem(client.request(method, path), 404, "no_such_path")


@pytest.mark.parametrize("path", ["imports", "exports", f"{UNKNOWN}:cancel", f"{UNKNOWN}:retry"])
def test_what_takes_a_post_takes_no_get(client: TestClient, path: str) -> None:
    answer = client.get(f"/v1/jobs/{path}")
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("cursor", ["x", UNKNOWN + "0", "*"])
def test_a_cursor_is_one_that_was_given(client: TestClient, cursor: str) -> None:
    said = problem(client.get("/v1/jobs", params={"cursor": cursor}), 422, "invalid_request")
    assert said["errors"] == [
        {"parameter": "cursor", "detail": "is not a cursor that this service gave"}
    ]


@pytest.mark.parametrize("seen", ["x", "-1", "1" * 16, "1.0"])
def test_the_last_event_is_one_that_was_sent(client: TestClient, seen: str) -> None:
    headers = {"Last-Event-ID": seen}
    answer = client.get(f"/v1/jobs/{UNKNOWN}/events", headers=headers)
    assert problem(answer, 422, "invalid_request")["errors"][0]["parameter"] == "last-event-id"


def test_the_kinds_of_jobs_that_are_told_are_those_that_run(client: TestClient) -> None:
    told = JobOut.model_fields["kind"].description
    assert told is not None
    running = client.app_state["services"].jobs._scopes
    assert set(told.removesuffix(".").split(", ")) == set(running)


def test_a_long_page_is_made_beside_the_event_loop(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[int] = set()

    def noted(*arguments: Any) -> JobOut:
        threads.add(threading.get_ident())
        return job_for(*arguments)

    job_for = endpoints.job_for
    monkeypatch.setattr(endpoints, "job_for", noted)
    monkeypatch.setattr("service.http.json_bodies.MOST_INLINE", 0)
    asked = client.post("/v1/streamers:bulk", content="{}\n", headers=NDJSON | ASYNC)
    job_id = asked.raise_for_status().json()["job_id"]
    shown = client.get("/v1/jobs", params={"limit": 1000}).raise_for_status().json()["jobs"]
    assert job_id in {job["job_id"] for job in shown}
    assert client.portal is not None
    assert client.portal.call(threading.get_ident) not in threads
