"""Rebuilds of the index as jobs, over HTTP and by the command."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.service.conftest import Serve, put
from tests.service.data_sets import profile
from tests.service.features.keys.conftest import bearer, create
from tests.service.features.transfers.waiting import ended, submitted
from tests.service.http.test_bad_input import problem
from tests.service.process import run

REBUILD = "/v1/index:rebuild"


@pytest.fixture
def waiting(bundle: Path, tmp_path: Path) -> Iterator[TestClient]:
    """A service with an admin key that queues jobs and runs none."""
    settings = Settings.model_validate(
        {"bundle": bundle, "data_dir": tmp_path, "api_key": "k" * 20, "jobs": {"at_once": 0}}
    )
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        client.headers["Authorization"] = "Bearer " + "k" * 20
        yield client


def test_a_rebuilt_index_has_what_the_old_one_had(client: TestClient) -> None:
    for i in range(30):
        put(client, f"s{i:02}", tags=["cooking"])
    put(client, "bare")  # stored without a vector
    client.delete("/v1/streamers/s07").raise_for_status()
    before = sorted(client.get("/v1/index").text.splitlines())
    last = put(client, "last", tags=["cooking"])
    path = submitted(client.post(REBUILD))
    later = put(client, "later", tags=["cooking"])
    job = ended(client, path)
    assert job["state"] == "succeeded", job
    assert (job["kind"], job["attempts"]) == ("index_rebuild", 1)
    assert job["progress"]["done"] >= 31
    result = job["result"]
    assert result["replica"] == job["place"] != ""
    assert result["sequence"] >= last
    assert result["segment"] == "exact"
    question = {"k": 100, "exact": True, "after_sequence": later}
    hits = client.get("/v1/streamers/last/similar", params=question).json()["hits"]
    assert {hit["streamer_id"] for hit in hits} == {f"s{i:02}" for i in range(30) if i != 7} | {
        "later"
    }
    after = sorted(client.get("/v1/index").text.splitlines())
    assert [line for line in after if '"last"' not in line and '"later"' not in line] == before


def test_the_same_request_rebuilds_once(waiting: TestClient) -> None:
    headers = {"Idempotency-Key": '"first"', "Prefer": "respond-async"}
    first = waiting.post(REBUILD, headers=headers)
    assert first.headers["preference-applied"] == "respond-async"
    assert submitted(first) == submitted(waiting.post(REBUILD, headers=headers))
    assert submitted(waiting.post(REBUILD)) != submitted(first)
    other = waiting.post("/v1/jobs/exports", json={}, headers=headers)
    problem(other, 422, "idempotency_key_reused")
    assert len(waiting.get("/v1/jobs").json()["jobs"]) == 2


def test_a_job_is_cancelled_and_retried_by_who_may_begin_one(waiting: TestClient) -> None:
    """Of each kind: the role that may, and one that may not."""
    question = {"positive": [{"streamer_id": "s0"}], "min_score": 0.5}
    preferred = {"Prefer": "respond-async"}
    waiting.put("/v1/streamers/s0", json={"bio": "饺子和面条的直播间"})
    keys = {
        role: create(waiting, role=role)["key"]
        for role in ("operations", "recommender", "antifraud")
    } | {
        "coldstart": create(waiting, scopes=["streamers:read", "coldstart"])["key"],
        "writer": create(waiting, scopes=["streamers:write"])["key"],
    }
    for begun, may, may_not, scope in (
        (waiting.post(REBUILD), None, "operations", "admin"),
        (waiting.post("/v1/jobs/exports", json={}), "antifraud", "writer", "streamers:read"),
        (
            waiting.post("/v1/similar/export", json=question, headers=preferred),
            "antifraud",
            "coldstart",
            "search",
        ),
        (waiting.post("/v1/duplicates:rebuild"), "recommender", "coldstart", "duplicates"),
    ):
        path = submitted(begun)
        for action, state in (("cancel", "cancelled"), ("retry", "queued")):
            refused = waiting.post(f"{path}:{action}", headers=bearer(keys[may_not]))
            assert f"'{scope}'" in problem(refused, 403, "missing_scope")["detail"]
            headers = bearer(keys[may]) if may else None
            answer = waiting.post(f"{path}:{action}", headers=headers)
            assert answer.json()["state"] == state


@pytest.mark.slow
def test_the_command_starts_a_rebuild(serve: Serve) -> None:
    service = serve()
    service.bulk([profile(i) for i in range(50)])
    done = run("jobs", "rebuild-index", "--url", service.url)
    assert done.returncode == 0, done.stderr
    job_id, state = done.stdout.split()
    assert state in ("queued", "running", "succeeded")
    watched = run("jobs", "watch", job_id, "--url", service.url)
    assert watched.returncode == 0, watched.stderr
    assert '"streamers": 50' in watched.stdout
    listed = run("jobs", "list", "--url", service.url).stdout
    assert f"{job_id}\tindex_rebuild\tsucceeded" in listed
    as_json = run("jobs", "rebuild-index", "--json", "--url", service.url).stdout
    assert json.loads(as_json)["kind"] == "index_rebuild"
