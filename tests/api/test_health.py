"""Probes, metrics and the model's card: what an orchestrator, Prometheus and people read."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.api.test_keys import DOCUMENT, bearer
from tests.support.api import NDJSON, Api
from tests.support.bundles import CALIBRATION, DIM, TOPICS
from tests.support.service import ROOT, Service, run, wait_until

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
ELSEWHERE = {
    "streamer_backup_timestamp_seconds",  # of the command `backup`
    "streamer_drift_alarm",  # of `drift`
    "streamer_drift_measured_seconds",
    "streamer_index_served_recall",  # of approximate indexes, and below
    "streamer_index_built_recall",
    "streamer_index_scanned_rows",
    "streamer_layout_served",  # once a map was fitted
    "streamer_milvus_up",
    "streamer_milvus_overlay_rows",
    "streamer_model_question_seconds",  # while two models are kept
    "streamer_snapshot_timestamp_seconds",  # once the index was saved
    "streamer_tower_decoded",  # of bundles with towers
    "streamer_tower_encoded",
}
"""Metrics that a service with an exact index and a bundle without towers does not have."""


def scraped(api: Api) -> Samples:
    """Name and labels of every sample -> its value."""
    answer = api.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(api: Api, name: str, **labels: str) -> float:
    return scraped(api).get((f"streamer_{name}", frozenset(labels.items())), 0)


def test_probes_need_no_key_and_say_what_is_served(api: Api, service: Service) -> None:
    sequence = api.put_streamer("probe-1", tags=["cooking"])
    with Api(service.url) as anybody:
        assert anybody.ok("GET", "/livez") == {"status": "ok"}
        assert anybody.get("/startupz").status_code == 200
        ready = anybody.ok("GET", "/readyz")
        for path in ("/livez", "/startupz", "/readyz"):  # a monitor may ask for headers alone
            head = anybody.head(path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-type"] == "application/json"
    assert ready["index_sequence"] >= sequence
    assert ready["model_version"] == "test-0"
    assert ready["degraded_because"] is None
    assert ready["index"]["kind"] == "exact"


def test_the_card_is_that_of_the_bundle(api: Api) -> None:
    card = api.ok("GET", "/v1/model")
    assert (card["model_version"], card["dim"]) == ("test-0", DIM)
    for kind in ("embedding", "content"):
        expected, shown = getattr(CALIBRATION, kind), card["calibration"][kind]
        assert (shown["source"], shown["base_rate"]) == (expected.source, expected.base_rate)
        assert [
            (curve["fewest"], curve["most"], [knot["at_least"] for knot in curve["knots"]])
            for curve in shown["curves"]
        ] == [(c.fewest, c.most, [k.at_least for k in c.knots]) for c in expected.curves]


def test_the_document_of_the_routes_is_the_committed_one(api: Api) -> None:
    assert api.ok("GET", "/openapi.json") == DOCUMENT


def expressions() -> list[str]:
    """Of all alerts and panels."""
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8"))
    found = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    dashboard = json.loads((ROOT / "deploy/grafana/dashboard.json").read_text(encoding="utf-8"))
    return found + [t["expr"] for panel in dashboard["panels"] for t in panel.get("targets", [])]


def missing(text: str) -> list[str]:
    """Expressions that ask for what these metrics don't have."""
    named = set(re.findall(r"(?m)^# TYPE (\S+)", text))
    found = list[str]()
    for expression in expressions():
        for name in set(re.findall(r"\b(?:streamer|process)_\w+", expression)):
            family = re.sub(r"_(bucket|count|sum|total)$", "", name)
            if family not in ELSEWHERE and not {name, family} & named:
                found.append(expression)
    # A label that is asked for has that value.
    pairs = set(re.findall(r'(streamer_\w+)\{(\w+)="([\w-]+)"', "\n".join(expressions())))
    for name, label, wanted in pairs - {("streamer_request_seconds_count", "route", "other")}:
        if not re.search(rf'(?m)^{name}\{{[^}}]*{label}="{wanted}"', text):
            found.append(f"{name} {label}={wanted}")
    return found


def test_what_alerts_and_panels_ask_for_is_there(api: Api) -> None:
    api.wait_until_grouped(api.put_streamer("asked-for", bio=TOPICS["music"]))
    wait_until(lambda: not missing(api.get("/metrics").text), "all of it is told")


SIMILAR = "/v1/streamers/{streamer_id}/similar"


@pytest.mark.parametrize(
    ("method", "path", "body", "route", "status"),
    [
        ("GET", "/v1/streamers/count-a/similar", None, SIMILAR, 200),
        ("GET", "/v1/streamers/count-a/similar?explain=true", None, SIMILAR, 200),
        ("GET", "/v1/streamers/nobody/similar", None, SIMILAR, 404),
        ("GET", "/v1/streamers/count-a/similar?k=0", None, SIMILAR, 422),
        ("POST", "/v1/similar", {"positive": [{"streamer_id": "count-a"}]}, "/v1/similar", 200),
        ("GET", "/v1/streamers/count-a", None, "/v1/streamers/{streamer_id}", 200),
        ("GET", "/readyz", None, "/readyz", 200),
        ("GET", "/made/up", None, "other", 404),
    ],
)
def test_requests_are_counted_by_the_route_that_answered(
    api: Api, method: str, path: str, body: object, route: str, status: int
) -> None:
    api.put_streamer("count-a", bio=TOPICS["music"])
    labels = {"method": method, "route": route, "status": str(status)}
    before = value(api, "request_seconds_count", **labels)
    assert api.request(method, path, json=body).status_code == status
    assert value(api, "request_seconds_count", **labels) == before + 1


def write(api: Api) -> None:
    api.put_streamer("moved-a", name="the music channel", bio=TOPICS["music"])


def ask(api: Api) -> None:
    write(api)
    api.ok("GET", "/v1/streamers/moved-a/similar")


def wait_in_vain(api: Api) -> None:
    body = {"positive": [{"streamer_id": "moved-a"}], "after_sequence": 10**9}
    assert api.post("/v1/similar", json=body).json()["code"] == "not_yet_visible"


def fail_a_job(api: Api) -> None:
    headers = {"Content-Type": "application/vnd.apache.parquet"}
    job = api.ok("POST", "/v1/jobs/imports", content=b"rubbish", headers=headers, status=202)
    api.finished(job, "failed")


def run_a_job(api: Api) -> None:
    line = b'{"streamer_id":"moved-job"}\n'
    job = api.ok("POST", "/v1/jobs/imports", content=line, headers=NDJSON, status=202)
    api.finished(job)


def stop_early(api: Api) -> None:
    assert api.get("/v1/streamers", **bearer("wrong")).status_code == 401


def use_up(api: Api) -> None:
    body = {"name": "x", "scopes": ["search"], "limits": {"search": 1}}
    asked = bearer(api.ok("POST", "/v1/keys", body, status=201)["key"])
    statuses = [api.get("/v1/model", **asked).status_code for _ in range(2)]
    assert statuses == [200, 429]


def job(name: str, state: str) -> dict[str, Any]:
    return {"name": name, "kind": "import", "state": state}


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (write, {"name": "lane_taken_total", "lane": "interactive"}),
        (write, {"name": "lane_waited_seconds_total", "lane": "interactive"}),
        (write, {"name": "stage_seconds_count", "stage": "encode"}),
        (write, {"name": "stage_seconds_count", "stage": "store_write"}),
        (write, {"name": "audit_entries_total"}),
        (write, {"name": "index_sequence"}),
        (write, {"name": "duplicates_sequence"}),
        (write, {"name": "watchlists_sequence"}),
        (ask, {"name": "stage_seconds_count", "stage": "search"}),
        (wait_in_vain, {"name": "problems_total", "code": "not_yet_visible"}),
        (fail_a_job, job("job_seconds_count", "failed")),
        (run_a_job, job("job_seconds_count", "succeeded")),
        (use_up, {"name": "rate_limited_total", "scope": "search"}),
        (
            stop_early,
            {
                "name": "request_seconds_count",
                "method": "GET",
                "route": "other",
                "status": "401",
            },
        ),
    ],
    ids=lambda each: each.__name__ if callable(each) else each["name"],
)
def test_a_counter_moves_with_what_it_counts(
    api: Api, act: Callable[[Api], None], expected: dict[str, str]
) -> None:
    before = value(api, **expected)
    act(api)
    wait_until(lambda: value(api, **expected) > before, f"{expected} has moved")


def test_what_can_page_somebody_begins_at_nothing(api: Api) -> None:
    """Alerts on an increase see the first one: the counter is there before."""
    write(api)
    found = {name: value for (name, labels), value in scraped(api).items() if not labels}
    for name in (
        *("unexpected_errors_total", "store_restarts_total", "audit_failures_total"),
        *("audit_lost_total", "index_skipped_records", "webhooks_dead_total"),
        *("webhooks_disabled_total", "webhooks_missed_total"),
    ):
        assert found[f"streamer_{name}"] == 0, name
    for name in ("ready", "store_up", "store_durable", "audit_up", "duplicates_leading"):
        assert found[f"streamer_{name}"] == 1, name
    assert found["streamer_index_rows"] == api.ok("GET", "/readyz")["index_rows"] > 0
    assert found["streamer_index_lag_seconds"] >= 0
    codes = {
        dict(labels)["code"] for name, labels in scraped(api) if name == "streamer_problems_total"
    }
    assert {"internal", "overloaded", "store_unavailable", "store_full"} <= codes
    assert value(api, "log_records_total", level="error") == 0


@pytest.fixture(scope="module")
def fast(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with an approximate index from few streamers on, and no audit log."""
    variables: dict[str, Any] = {
        "STREAMER_AUDIT__ENABLED": "false",
        "STREAMER_INDEX__KIND": "HNSW16",
        "STREAMER_INDEX__FROM_ROWS": "100",
        "STREAMER_INDEX__RECALL": "0.9",
    }
    with Service(bundle, tmp_path_factory.mktemp("fast") / "data", **variables) as running:
        yield running.wait_until_ready()


def test_an_audit_log_that_is_turned_off_has_no_metrics_and_no_files(fast: Service) -> None:
    assert fast.api.put("/v1/streamers/s0", json={}).status_code in (200, 201)
    assert not [name for name, _ in scraped(fast.api) if "audit" in name]
    assert not list(fast.data_dir.glob("audit/*.ndjson"))
    assert fast.api.ok("GET", "/v1/audit")["entries"] == []


def test_a_faster_index_takes_over_and_answers_say_so(fast: Service) -> None:
    api = fast.api
    words = [word for text in TOPICS.values() for word in text.split()]
    count = 150
    api.write(
        {"streamer_id": f"s{i}", "bio": " ".join(words[(i * j) % len(words)] for j in range(1, 9))}
        for i in range(1, count + 1)
    )
    wait_until(lambda: api.ok("GET", "/readyz")["index"]["kind"] == "HNSW16", "it takes over")
    index = api.ok("GET", "/readyz")["index"]
    assert index["recall"] >= 0.9
    assert index["refused"] is None
    asked = "/v1/streamers/s1/similar"
    found = api.ok("GET", f"{asked}?k=10")
    exact = api.ok("GET", f"{asked}?k=10&exact=true")
    assert (found["exact"], exact["exact"]) == (False, True)
    seed = {"positive": [{"streamer_id": "s1"}], "exact": True}
    assert api.ok("POST", "/v1/similar", seed)["exact"] is True
    assert value(api, "index_built_recall") >= 0.9
    gone = found["hits"][0]["streamer_id"]
    api.ok("DELETE", f"/v1/streamers/{gone}")
    sequence = api.put_streamer("s1000", bio=words[0])
    later = api.ok("GET", f"{asked}?k=50&after_sequence={sequence}")
    hits = {hit["streamer_id"] for hit in later["hits"]}
    assert len(hits) == 50
    assert gone not in hits


def test_a_kind_of_index_that_nobody_knows_is_refused_at_the_start(
    bundle: Path, tmp_path: Path
) -> None:
    arguments = ("serve", "--bundle", bundle, "--data-dir", tmp_path / "data", "--port", 0)
    done = run(*arguments, STREAMER_INDEX__KIND="HSNW32")
    assert done.returncode == 1
    assert "STREAMER_INDEX__KIND" in done.stderr
    assert "'HSNW32'" in done.stderr
