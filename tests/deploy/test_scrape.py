"""Alerts and dashboard are asked of a Prometheus that scrapes a service which has answered some."""

import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.bundles import TOPICS
from tests.deploy.files import PROMETHEUS, ROOT, RULES, alerts, expressions, targets
from tests.support.machine import free_port
from tests.support.media_towers import picture
from tests.service.conftest import media_bundle as media_bundle
from tests.support.service import NDJSON, json_line
from tests.service.features.operations.stored import SAVED
from tests.support.service import STOP_S, Service, wait_until
from tests.support.served import media

pytestmark = pytest.mark.slow

UNPACKED = ROOT / "build" / "prometheus" / "usr" / "bin"
KIND = "IVF8,SQfp16"
WORDS = " ".join(TOPICS.values()).split()
OF_PROMETHEUS = {"instance", "job"}
"""Labels that the scrape adds."""
ELSEWHERE = {
    "streamer_drift_alarm": {"modality", "measure"},
    "streamer_drift_measured_seconds": set(),
    "streamer_backup_timestamp_seconds": set(),
    "kube_cronjob_created": {"namespace", "cronjob"},
    "kube_cronjob_spec_suspend": {"namespace", "cronjob"},
    "kube_cronjob_status_last_successful_time": {"namespace", "cronjob"},
    "kube_statefulset_replicas": {"namespace", "statefulset"},
    "kube_statefulset_status_replicas_ready": {"namespace", "statefulset"},
    "streamer_layout_served": set(),
    "streamer_milvus_up": {"cluster"},
    "streamer_milvus_overlay_rows": {"cluster"},
}
"""Written by `drift` and `backup` for node_exporter, which tests of these commands read; told of by
kube-state-metrics; of a map, whose tests fit one; and of clusters of Milvus, where the index is
there."""
UNUSED = {
    "streamer_backup_bytes",
    "streamer_drift_change",
    "streamer_drift_p_value",
    "streamer_layout_age_seconds",
    "streamer_layout_placed",
    "streamer_layout_waiting",
    "streamer_milvus_serves",
    "streamer_milvus_settled_sequence",
    "streamer_store_replicas",
}
"""Told where those are, or replicas of the store, and asked of by no alert."""
RARE = {"streamer_index_served_recall"}
"""Without a value at first: fifty questions have to be compared, one a second."""


@dataclass(frozen=True)
class Scraped:
    """A Prometheus, and what the service gave it.

    Attributes:
        names: every family and sample of `/metrics`, those without a value too.
        labels: sample -> its labels.
        at_s: of a scrape; a later one may come to nothing while the machine is busy.
    """

    client: httpx.Client
    names: set[str]
    labels: dict[str, set[str]]
    at_s: float

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression has at that time."""
        return ask(self.client, expression, time=str(self.at_s))


def ask(client: httpx.Client, expression: str, **more: str) -> list[dict[str, Any]]:
    """The series that an expression has, by default now."""
    answer = client.get("/api/v1/query", params={"query": expression, **more})
    assert answer.status_code == 200, f"{expression}\n{answer.text}"
    assert answer.json()["status"] == "success"
    return answer.json()["data"]["result"]


def program() -> str:
    found = shutil.which("prometheus", path=f"{UNPACKED}:{os.environ['PATH']}")
    assert found is not None, "Prometheus is not there: run `make prometheus`"
    return found


def use(service: Service) -> None:
    """Write and ask, so that every metric has something to tell."""
    choices, client = random.Random(1), service.client
    profiles = [
        {"streamer_id": f"s{i}", "bio": " ".join(choices.sample(WORDS, 12))} for i in range(300)
    ]
    service.bulk(profiles)
    service.put("pictured", avatar=media(picture("red")))

    def is_approximate() -> bool:
        return client.get("/readyz").json()["index"]["kind"] == KIND

    wait_until(is_approximate, "the approximate index serves")
    for path, status in (
        ("/v1/streamers/s1/similar", 200),
        ("/v1/streamers/s1/similar?explain=true", 200),
        ("/v1/streamers/nobody/similar", 404),
        ("/made/up", 404),
    ):
        assert client.get(path).status_code == status
    later = {"positive": [{"streamer_id": "s1"}], "after_sequence": 10**9}
    assert client.post("/v1/similar", json=later).status_code == 503
    vectors = [{"kind": "streamer", "id": f"s{i}", "vector": [0.1 * i, 1]} for i in range(3)]
    lines = "".join(json_line(vector) for vector in vectors)
    space = "/v1/spaces/als-64/generations/one?promote=true"
    assert client.put(space, content=lines, headers=NDJSON).status_code == 201
    line = json_line({"streamer_id": "imported", "bio": "music"})
    assert client.post("/v1/jobs/imports", content=line, headers=NDJSON).status_code == 202

    def is_done() -> bool:
        done = 'streamer_job_seconds_count{kind="import",state="succeeded"}'
        return done in client.get("/metrics").text

    wait_until(is_done, "a job is done")
    for name in ("streamer_space_behind{", "streamer_watchlists_sequence "):
        wait_until(lambda name=name: f"\n{name}" in client.get("/metrics").text, name)


@pytest.fixture(scope="module")
def scraped(media_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    folder = tmp_path_factory.mktemp("scrape")
    variables = {
        **SAVED,
        "STREAMER_INDEX__KIND": KIND,
        "STREAMER_INDEX__FROM_ROWS": "100",
        "STREAMER_INDEX__RECALL": "0.5",
        "STREAMER_LIMITS__VISIBLE_TIMEOUT_MS": "1",
    }
    with Service(media_bundle, folder / "data", **variables) as service:
        use(service.wait_until_ready())

        def saved() -> bool:
            return "\nstreamer_snapshot_timestamp_seconds " in service.client.get("/metrics").text

        wait_until(saved, "a snapshot is written")
        families = list(text_string_to_metric_families(service.client.get("/metrics").text))
        samples = [sample for family in families for sample in family.samples]
        labels: dict[str, set[str]] = {}
        for sample in samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
        names = {family.name for family in families} | set(labels)
        with prometheus(folder, service.url.removeprefix("http://")) as client:
            scrapes = "timestamp(streamer_ready) and count_over_time(streamer_ready[1m]) > 3"
            found: list[dict[str, Any]] = []

            def are_enough() -> bool:
                found[:] = ask(client, scrapes)
                return bool(found)

            wait_until(are_enough, "there are some scrapes")
            yield Scraped(client, names, labels, float(found[0]["value"][1]))


def prometheus(folder: Path, address: str) -> "Running":
    """Prometheus with the committed configuration, asked where the service is."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
    config["rule_files"] = [str(RULES)]
    (job,) = config["scrape_configs"]
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": [address]}]
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    return Running(folder, file)


class Running:
    """A Prometheus of its own, on a port of this machine; a context manager."""

    def __init__(self, folder: Path, config: Path) -> None:
        self._log = folder / "prometheus.log"
        self._address = f"127.0.0.1:{free_port()}"
        self._command = [
            program(),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'series'}",
            f"--web.listen-address={self._address}",
        ]

    def __enter__(self) -> httpx.Client:
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=output)
        self._client = httpx.Client(
            base_url=f"http://{self._address}", timeout=STOP_S, trust_env=False
        )

        def is_ready() -> bool:
            assert self._process.poll() is None, self._log.read_text(encoding="utf-8")
            try:
                return self._client.get("/-/ready").status_code == 200
            except httpx.TransportError:
                return False

        wait_until(is_ready, "Prometheus is ready")
        return self._client

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._process.terminate()
        self._process.wait(STOP_S)


def selectors(expression: str) -> list[promql_parser.VectorSelector]:
    """What an expression reads."""
    found: list[promql_parser.VectorSelector] = []

    def look(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        elif isinstance(node, promql_parser.MatrixSelector):
            found.append(node.vector_selector)
        elif isinstance(node, promql_parser.BinaryExpr):
            look(node.lhs)
            look(node.rhs)
        elif isinstance(node, promql_parser.Call):
            for argument in node.args:
                look(argument)
        elif isinstance(node, promql_parser.NumberLiteral):
            pass
        else:
            assert isinstance(node, promql_parser.AggregateExpr | promql_parser.ParenExpr), node
            look(node.expr)

    look(promql_parser.parse(expression))
    return found


@pytest.mark.parametrize("place", expressions())
def test_every_expression_can_be_evaluated(scraped: Scraped, place: str) -> None:
    scraped.ask(expressions()[place])


@pytest.mark.parametrize("place", expressions())
def test_what_an_expression_reads_is_scraped(scraped: Scraped, place: str) -> None:
    for selector in selectors(expressions()[place]):
        assert selector.name is not None
        name = selector.name
        if name in RARE:
            assert name in scraped.names
            continue
        if name in ELSEWHERE:
            continue
        if name != "up":
            assert name in scraped.labels
            used = {matcher.name for matcher in selector.matchers.matchers}
            assert used <= scraped.labels[name] | OF_PROMETHEUS, name
        # Nothing was answered with 500, or refused: of a status the label alone is asked for.
        asked = re.sub(r'\b(?:status|state)=~?"[^"]*",? ?', "", selector.prettify())
        assert scraped.ask(asked), asked


@pytest.mark.parametrize("place", expressions())
def test_labels_that_are_kept_are_those_of_the_metric(scraped: Scraped, place: str) -> None:
    expression = expressions()[place]
    grouped = {
        label.strip()
        for labels in re.findall(r"\bby \(([^)]*)\)", expression)
        for label in labels.split(",")
    }
    known = {**scraped.labels, **ELSEWHERE}
    read = [known.get(s.name or "", set()) for s in selectors(expression)]
    assert grouped <= set.union(*read) | OF_PROMETHEUS


def test_the_pages_name_metrics_that_there_are_and_all_of_them(scraped: Scraped) -> None:
    pages = {page: (ROOT / "docs" / page).read_text() for page in ("operations.md", "runbook.md")}
    named = {page: set(re.findall(r"(?<!\{)\bstreamer_\w+", text)) for page, text in pages.items()}
    known = scraped.names | ELSEWHERE.keys() | UNUSED
    assert set.union(*named.values()) <= known
    told = {name for name in scraped.labels if name.startswith("streamer_")}
    parts = ("_bucket", "_count", "_sum", "_created")
    assert {name for name in told if not name.endswith(parts)} - named["operations.md"] == set()


def test_legends_name_labels_that_a_panel_has(scraped: Scraped) -> None:
    filled = expressions()
    for title, target in targets():
        named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        for series in scraped.ask(filled[f"panel {title}, {target['refId']}"]):
            assert named <= set(series["metric"]), title


def test_panels_of_a_service_at_work_are_not_empty(scraped: Scraped) -> None:
    empty = {
        place
        for place, expression in expressions().items()
        if place.startswith("panel ") and not scraped.ask(expression)
    }
    # Nothing is refused or failed, and no recall is known yet.
    assert empty == {"panel Share of requests that fail, B", "panel Recall, A"}


def test_prometheus_evaluates_every_alert_and_none_fires(scraped: Scraped) -> None:
    def rules() -> list[dict[str, Any]]:
        groups = scraped.client.get("/api/v1/rules").json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    wait_until(lambda: all(rule["health"] != "unknown" for rule in rules()), "all are evaluated")
    found = rules()
    assert [rule["name"] for rule in found] == [alert["alert"] for alert in alerts()]
    assert {rule["health"] for rule in found} == {"ok"}
    assert all(rule["state"] != "firing" for rule in found)
