"""What Prometheus scrapes is what happened."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from service.app import create_app
from service.errors import catalogue
from service.settings import Audit, Settings
from tests.bundles import TOPICS
from tests.service.conftest import put, wait_until_visible
from tests.service.data_sets import NDJSON, json_line
from tests.service.process import wait_until

Labels = frozenset[tuple[str, str]]


def scraped(client: TestClient) -> dict[tuple[str, Labels], float]:
    """Name and labels of every sample -> its value."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def answered(client: TestClient, method: str, route: str, status: int) -> float:
    labels = frozenset({("method", method), ("route", route), ("status", str(status))})
    return scraped(client).get(("streamer_request_seconds_count", labels), 0)


SIMILAR = "/v1/streamers/{streamer_id}/similar"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "path", "body", "route", "status"),
    [
        ("GET", "/v1/streamers/a/similar", None, SIMILAR, 200),
        ("GET", "/v1/streamers/a/similar?explain=true", None, SIMILAR, 200),
        ("GET", "/v1/streamers/nobody/similar", None, SIMILAR, 404),
        ("GET", "/v1/streamers/a/similar?k=0", None, SIMILAR, 422),
        ("POST", "/v1/similar", {"positive": [{"streamer_id": "a"}]}, "/v1/similar", 200),
        ("GET", "/v1/streamers/a", None, "/v1/streamers/{streamer_id}", 200),
        ("GET", "/readyz", None, "/readyz", 200),
        ("GET", "/made/up", None, "other", 404),
    ],
)
def test_requests_are_counted_by_the_route_that_answered(
    client: TestClient, method: str, path: str, body: object, route: str, status: int
):
    put(client, "b", bio=TOPICS["music"])
    wait_until_visible(client, put(client, "a", bio=TOPICS["music"]))
    before = answered(client, method, route, status)
    assert client.request(method, path, json=body).status_code == status
    assert answered(client, method, route, status) == before + 1


def test_the_index_and_the_store_are_told_of(client: TestClient):
    sequence = put(client, "a", bio=TOPICS["music"])
    wait_until_visible(client, sequence)
    found = {name: value for (name, labels), value in scraped(client).items() if not labels}
    ready = client.get("/readyz").json()
    assert found["streamer_index_rows"] == ready["index_rows"] > 0
    assert found["streamer_index_sequence"] >= sequence
    assert found["streamer_store_up"] == found["streamer_ready"] == 1
    assert found["streamer_index_lag_seconds"] >= 0
    assert "streamer_index_served_recall" not in found  # every answer is exact
    assert found["process_resident_memory_bytes"] > 0


def test_each_lane_of_work_is_told_of(client: TestClient):
    def lane(name: str, lane: str) -> float:
        return scraped(client)[f"streamer_lane_{name}", frozenset({("lane", lane)})]

    before, waited_s = (
        lane("taken_total", "interactive"),
        lane("waited_seconds_total", "interactive"),
    )
    slow = ("heavy", "bulk")
    refused = [lane("refused_total", name) for name in slow]
    put(client, "a", bio=TOPICS["music"])  # is encoded
    assert lane("taken_total", "interactive") > before
    assert lane("waited_seconds_total", "interactive") > waited_s
    wait_until(  # the groups of duplicates are evaluated after the answer
        lambda: all(lane(n, name) == 0 for n in ("waiting", "running") for name in slow),
        "nothing is left to do",
    )
    assert [lane("refused_total", name) for name in slow] == refused


def test_what_is_refused_at_the_gate_is_counted_too(bundle: Path, tmp_path: Path):
    settings = Settings(bundle=bundle, data_dir=tmp_path, api_key=SecretStr("secret-of-the-test"))
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        assert client.get("/v1/streamers/a").status_code == 401
        assert answered(client, "GET", "other", 401) == 1


def test_problems_are_counted_by_their_code(client: TestClient):
    def problems() -> dict[str, float]:
        found = scraped(client).items()
        return {
            dict(labels)["code"]: v for (n, labels), v in found if n == "streamer_problems_total"
        }

    put(client, "a", bio=TOPICS["music"])
    before = problems()
    assert before.keys() == {c for c, kind in catalogue().items() if kind.status >= 500}
    later = {"positive": [{"streamer_id": "a"}], "after_sequence": 10**9}
    for _ in range(2):
        assert client.post("/v1/similar", json=later).json()["code"] == "not_yet_visible"
    assert client.get("/v1/streamers/nobody/similar").status_code == 404
    after = problems()
    assert {c: after[c] - before[c] for c in after if after[c] != before[c]} == {
        "not_yet_visible": 2
    }


def test_stages_of_work_are_timed(client: TestClient):
    def times(stage: str) -> float:
        return scraped(client)["streamer_stage_seconds_count", frozenset({("stage", stage)})]

    stages = ("queue", "encode", "store_write", "search")
    before = {stage: times(stage) for stage in stages}
    put(client, "b", bio=TOPICS["music"])
    wait_until_visible(client, put(client, "a", bio=TOPICS["music"]))
    assert client.get("/v1/streamers/a/similar").status_code == 200
    assert all(times(stage) > before[stage] for stage in stages)


def test_jobs_are_told_of_by_kind_and_state(bundle: Path, tmp_path: Path):
    def found(name: str, state: str) -> float | None:
        return scraped(client).get((name, frozenset({("kind", "import"), ("state", state)})))

    settings = Settings(bundle=bundle, data_dir=tmp_path)  # whose jobs are those of this test
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        assert found("streamer_job_seconds_count", "failed") == 0  # an alert sees the first
        line = json_line({"streamer_id": "imported", "bio": TOPICS["music"]})
        assert client.post("/v1/jobs/imports", content=line, headers=NDJSON).status_code == 202
        wait_until(lambda: found("streamer_job_seconds_count", "succeeded") == 1, "it is done")
        wait_until(  # they are counted now and then, so maybe while it was queued
            lambda: found("streamer_jobs", "running") == found("streamer_jobs", "queued") == 0,
            "no job is left",
        )
        assert scraped(client)["streamer_job_retries_total", frozenset({("kind", "import")})] == 0


def test_the_audit_log_is_told_of(client: TestClient):
    def found() -> dict[str, float]:
        return {name: value for (name, labels), value in scraped(client).items() if not labels}

    before = found()
    put(client, "a", bio=TOPICS["music"])  # is in the log before it is answered
    after = found()
    assert after["streamer_audit_entries_total"] > before["streamer_audit_entries_total"]
    for name in ("failures_total", "lost_total"):
        assert after[f"streamer_audit_{name}"] == 0
    assert after["streamer_audit_waiting"] >= 0


def test_the_evaluation_of_duplicates_is_told_of(client: TestClient):
    def found() -> dict[str, float]:
        return {name: value for (name, labels), value in scraped(client).items() if not labels}

    put(client, "a", name="the music channel", bio=TOPICS["music"])
    last = put(client, "b", name="the music channel", bio=TOPICS["music"])
    wait_until(
        lambda: found().get("streamer_duplicates_sequence", -1) >= last, "the writes are evaluated"
    )
    told = found()
    assert told["streamer_duplicates_leading"] == 1
    assert told["streamer_duplicates_groups"] == 1
    judgements = client.get("/v1/judgements").json()["judgements"]
    assert told["streamer_duplicates_judgements"] == len(judgements)  # those of other tests


def test_an_audit_log_that_is_turned_off_has_no_metrics(bundle: Path, tmp_path: Path):
    settings = Settings(bundle=bundle, data_dir=tmp_path, audit=Audit(enabled=False))
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        assert not any("audit" in name for name, _ in scraped(client))
