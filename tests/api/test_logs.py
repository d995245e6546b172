"""What a service tells of itself: lines of its log, a line for each request, and traces."""

import gzip
import json
import os
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.api.test_keys import create
from tests.conftest import ADMIN_KEY, Serve
from tests.support import raw
from tests.support.api import NDJSON, Api
from tests.support.bundles import TOPICS
from tests.support.machine import free_port
from tests.support.service import Service, run, wait_until

PARENT = "00f067aa0ba902b7"
INTERNAL, SERVER, CLIENT = 1, 2, 3
SIMILAR = "/v1/streamers/{streamer_id}/similar"
ONE = "/v1/streamers/{streamer_id}"


class Span(NamedTuple):
    """A span as it came."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    begin_ns: int
    end_ns: int
    attributes: dict[str, Any]
    state: str
    links: list[str]


class Collector:
    """Takes traces by OTLP over HTTP, as protobuf.

    Attributes:
        spans: all that came.
        resources: attributes of the processes that sent them.
        raw: the bodies.
        status: with which it answers.
    """

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.resources: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        self.status = 200
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if collector.status == 200 and self.path == "/v1/traces":
                    collector.take(body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(collector.status)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def environment(self) -> dict[str, str]:
        """What a service needs to send its traces here, soon."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.server.server_port}",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "NO_PROXY": "127.0.0.1",
        }

    def take(self, body: bytes) -> None:
        def pairs(of: Any) -> dict[str, Any]:
            return {p.key: getattr(p.value, p.value.WhichOneof("value")) for p in of.attributes}

        self.raw.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(pairs(resource.resource))
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
                times = (span.start_time_unix_nano, span.end_time_unix_nano)
                links = [link.span_id.hex() for link in span.links]
                self.spans.append(
                    Span(span.name, *ids, span.kind, *times, pairs(span), span.trace_state, links)
                )

    def trace(self, trace_id: str, root: str) -> tuple[Span, list[Span]]:
        """A trace, once the span of this name, which ends last, has come: that one, and all."""

        def found(name: str | None) -> list[Span]:
            spans = [span for span in list(self.spans) if span.trace_id == trace_id]
            return [span for span in spans if name in (None, span.name)]

        wait_until(lambda: found(root), f"the span {root} comes")
        (first,), spans = found(root), found(None)
        for span in spans:
            assert first.begin_ns <= span.begin_ns <= span.end_ns
            assert span is first or span.parent_id in {other.span_id for other in spans}
        return first, spans


def collecting() -> Iterator[Collector]:
    found = Collector()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    yield from collecting()


@pytest.fixture
def another() -> Iterator[Collector]:
    yield from collecting()


@pytest.fixture(scope="module")
def settings(collector: Collector) -> dict[str, str]:
    return {
        "STREAMER_LOG__FORMAT": "json",
        "STREAMER_LOG__REQUESTS": "true",
        **collector.environment,
    }


def of(trace_id: str, sampled: bool = True) -> dict[str, str]:
    return {"traceparent": f"00-{trace_id}-{PARENT}-{int(sampled):02d}"}


def new_id() -> str:
    return os.urandom(16).hex()


# Lines


def line_of(service: Service, request_id: str) -> dict[str, Any]:
    """The line of a request."""
    wait_until(lambda: request_id in service.output, f"{request_id} is logged")
    lines = [json.loads(line) for line in service.output.splitlines()]
    (found,) = [line for line in lines if line.get("request_id") == request_id]
    return found


def test_every_line_is_an_object(api: Api, service: Service) -> None:
    api.get("/v1/streamers")
    lines = [json.loads(line) for line in service.output.splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z", line["time"]) for line in lines)


@pytest.mark.parametrize(
    ("method", "path", "content", "route", "status"),
    [
        ("PUT", "/v1/streamers/somebody", b'{"bio":"secret guitar","tags":["music"]}', ONE, None),
        ("PUT", "/v1/streamers/somebody", b'{"bio":"secret"', ONE, 400),
        (
            "POST",
            "/v1/similar",
            b'{"positive":[{"profile":{"bio":"secret guitar"}}]}',
            "/v1/similar",
            200,
        ),
        ("GET", "/v1/streamers/somebody-else/similar?k=3", b"", SIMILAR, 404),
        ("GET", "/v1/streamers?name=secret", b"", "/v1/streamers", 422),
        ("GET", "/made/up/secret", b"", "other", 404),
    ],
)
def test_a_request_has_a_line_with_figures_and_no_content(
    api: Api,
    service: Service,
    method: str,
    path: str,
    content: bytes,
    route: str,
    status: int | None,
) -> None:
    request_id = new_id()
    headers = {"X-Request-Id": request_id, "Content-Type": "application/json"}
    answer = api.request(method, path, content=content, headers=headers)
    line = line_of(service, request_id)
    assert (line["method"], line["route"]) == (method, route)
    assert line["status"] == answer.status_code
    assert status is None or answer.status_code == status
    assert (line["received"], line["sent"]) == (len(content), len(answer.content))
    assert line["ms"] > 0
    assert (line["level"], line["logger"]) == ("INFO", "service.requests")
    assert not re.search("secret|somebody", json.dumps(line))
    if route.startswith("/v1/"):
        assert line["key_id"] == "STREAMER_API_KEY"


def test_probes_and_metrics_have_no_line(api: Api, service: Service) -> None:
    last = new_id()
    for path in ("/livez", "/readyz", "/metrics"):
        assert api.get(path, headers={"X-Request-Id": "probe-of-the-test"}).status_code == 200
    api.get("/v1/streamers", headers={"X-Request-Id": last})
    line_of(service, last)
    assert "probe-of-the-test" not in service.output


def test_no_secret_is_in_the_log_nor_on_the_disk(api: Api, service: Service) -> None:
    made = create(api, role="admin")["key"]
    wrong = "ssk_0123456789ab_" + "ab" * 32 + "00000000"
    secrets = (made, ADMIN_KEY, wrong)
    for secret in secrets:
        headers = {"Authorization": f"Bearer {secret}"}
        for method, path in (
            ("GET", "/v1/streamers/nobody"),
            ("GET", f"/v1/streamers?key={secret}"),
            ("GET", f"/made/up/{secret}"),
            ("PUT", "/v1/streamers/nobody"),
        ):
            answer = api.request(method, path, headers=headers)
            assert secret not in answer.text + str(dict(answer.headers))
    last = new_id()
    api.get("/v1/streamers/nobody", headers={"X-Request-Id": last})
    line_of(service, last)
    assert last in api.get("/v1/audit/export").text
    log = service.output
    disk = b"".join(f.read_bytes() for f in (service.data_dir / "audit").rglob("*") if f.is_file())
    stored = (service.data_dir / "store").rglob("*.aof")
    disk += b"".join(file.read_bytes() for file in stored)
    assert not [s for s in secrets if s in log or s.encode() in disk]


@pytest.mark.parametrize(
    "text", ["\x1b[2J\x1b]0;owned\x07", "\x9b31m", "%0d%0aX-Injected:%201", "${jndi:ldap://a}"]
)
def test_a_line_is_one_line_and_shows_no_control(service: Service, text: str) -> None:
    before = len(service.output)
    names = ("User-Agent", "X-Request-Id", "traceparent", "Referer", "Idempotency-Key")
    lines = [f"{name}: {text}" for name in names]
    for path in (f"/v1/streamers/{text}", f"/{text}", f"/v1/streamers?{text}={text}"):
        target = quote(path, safe="/?=%", encoding="latin-1")
        for headers in (lines, lines[3:], []):
            for key in (ADMIN_KEY, text):
                head = (f"Authorization: Bearer {key}", *headers, "Connection: close")
                content = raw.request("GET", target, *head)
                (answer,) = raw.exchange(service.url, content)
                assert answer.status in (400, 401, 404, 422)
                assert answer.headers["x-injected"] is None
    last = new_id()
    with Api(service.url, ADMIN_KEY) as admin:
        admin.get("/v1/streamers", headers={"X-Request-Id": last})
        audit = admin.get("/v1/audit/export").text
    line_of(service, last)
    found = service.output[before:]
    assert all(json.loads(line)["message"] for line in found.splitlines())
    assert not [c for c in found + audit if not c.isprintable() and c != "\n"]


# Traces


def test_a_write_is_traced_through_its_stages(api: Api, collector: Collector) -> None:
    trace_id = new_id()
    headers = of(trace_id) | {"tracestate": "vendor=1,other=2", "X-Request-Id": "asked-for"}
    answer = api.put("/v1/streamers/traced", json={"bio": TOPICS["music"]}, headers=headers)
    assert answer.status_code == 201
    root, spans = collector.trace(trace_id, f"PUT {ONE}")
    assert (root.kind, root.parent_id, root.state) == (SERVER, PARENT, "vendor=1,other=2")
    assert root.attributes.items() >= {
        ("http.request.method", "PUT"),
        ("http.route", ONE),
        ("http.response.status_code", 201),
        ("http.response.body.size", len(answer.content)),
        ("streamer.request_id", "asked-for"),
    }
    stages = {span.name: span for span in spans if span.parent_id == root.span_id}
    assert stages["encode"].attributes["streamer.items"] == 1
    assert stages["encode"].kind == stages["queue"].kind == INTERNAL
    write = stages["store_write"]
    assert (write.kind, write.attributes["db.system.name"]) == (CLIENT, "redis")
    assert write.begin_ns >= stages["encode"].end_ns
    resource = collector.resources[0]
    assert resource["service.name"] == "similar-streamer"
    assert resource["service.version"]


@pytest.mark.parametrize(
    ("method", "path", "body", "name", "stages"),
    [
        ("GET", "/v1/streamers/asked-a/similar?k=3", None, f"GET {SIMILAR}", {"search"}),
        (
            "POST",
            "/v1/similar",
            {"positive": [{"profile": {"bio": TOPICS["music"]}}]},
            "POST /v1/similar",
            {"queue", "encode", "search"},
        ),
    ],
)
def test_a_question_is_traced(
    api: Api,
    collector: Collector,
    method: str,
    path: str,
    body: Any,
    name: str,
    stages: set[str],
) -> None:
    api.put_streamer("asked-a", bio=TOPICS["music"])
    trace_id = new_id()
    answer = api.request(method, path, json=body, headers=of(trace_id))
    assert answer.status_code == 200
    root, spans = collector.trace(trace_id, name)
    assert stages <= {span.name for span in spans if span.parent_id == root.span_id}


def test_a_job_has_a_trace_of_its_own_that_is_linked(api: Api, collector: Collector) -> None:
    trace_id, name = new_id(), "POST /v1/jobs/imports"
    lines = b"".join(b'{"streamer_id":"t-%d","bio":"guitar"}\n' % i for i in range(20))
    asked = {"content": lines, "headers": NDJSON | of(trace_id)}
    job = api.finished(api.ok("POST", "/v1/jobs/imports", status=202, **asked))
    request, _ = collector.trace(trace_id, name)

    def roots() -> list[Span]:
        spans = [span for span in list(collector.spans) if span.name == "job import"]
        return [span for span in spans if span.attributes["streamer.job.id"] == job["job_id"]]

    wait_until(roots, "the job's trace comes")
    (root,) = roots()
    assert (root.parent_id, root.links) == ("", [request.span_id])
    assert root.trace_id != trace_id
    assert root.attributes["streamer.job.state"] == "succeeded"
    _, spans = collector.trace(root.trace_id, "job import")
    assert {"encode", "store_write"} <= {span.name for span in spans}


def test_refused_requests_are_traced_and_probes_are_not(api: Api, collector: Collector) -> None:
    probe_id, refused_id = new_id(), new_id()
    assert api.get("/metrics", headers=of(probe_id)).status_code == 200
    headers = {**of(refused_id), "Authorization": "Bearer another"}
    answer = api.get("/v1/streamers/a", headers=headers)
    assert (answer.status_code, answer.json()["trace_id"]) == (401, refused_id)
    root, _ = collector.trace(refused_id, "GET")
    assert root.attributes["http.response.status_code"] == 401
    assert probe_id not in {span.trace_id for span in collector.spans}
    # One that begins here names problems, too.
    said = api.post("/v1/similar", json={"positive": [{"vector": [1.0] * 4}]}).json()
    assert re.fullmatch("[0-9a-f]{32}", said["trace_id"])
    collector.trace(said["trace_id"], "POST /v1/similar")


def test_nothing_private_is_in_a_trace(api: Api, collector: Collector) -> None:
    api.put("/v1/streamers/private-id", json={"bio": "private-words"})
    api.get("/v1/private-path?private=query")
    trace_id = new_id()
    api.get("/v1/streamers/private-id/similar?k=77", headers=of(trace_id))
    collector.trace(trace_id, f"GET {SIMILAR}")
    sent = b"".join(collector.raw)
    assert b"similar-streamer" in sent
    for secret in (b"private", b"k=77", ADMIN_KEY.encode()):
        assert secret not in sent


def test_the_sampler_decides_and_what_waits_is_sent_at_the_end(
    serve: Serve, another: Collector
) -> None:
    service = serve(
        **{**another.environment, "OTEL_BSP_SCHEDULE_DELAY": "600000"},
        OTEL_SERVICE_NAME="mine",
        OTEL_TRACES_SAMPLER="parentbased_traceidratio",
        OTEL_TRACES_SAMPLER_ARG="0",
    )
    wanted, unwanted = new_id(), new_id()
    for headers, told in ((of(wanted), wanted), (of(unwanted, False), unwanted), ({}, None)):
        said = service.api.get("/v1/streamers/nobody", headers=headers).json()
        assert said.get("trace_id") == told
    assert not another.spans
    assert service.stop() == 0
    assert {span.trace_id for span in another.spans} == {wanted}
    assert {resource["service.name"] for resource in another.resources} == {"mine"}


def test_a_collector_that_is_down_costs_one_warning(serve: Serve) -> None:
    service = serve(
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}",
        OTEL_EXPORTER_OTLP_TIMEOUT="0.5",
        OTEL_BSP_SCHEDULE_DELAY="50",
        OTEL_BSP_MAX_QUEUE_SIZE="8",
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE="4",
        NO_PROXY="127.0.0.1",
    )

    def warnings() -> int:
        return len(re.findall(r"(?m)^[\d-]{10} [\d:,]{12} WARNING service\.\S+ ", service.output))

    for _ in range(50):
        assert service.api.get("/v1/streamers/nobody").status_code == 404
    wait_until(lambda: warnings() > 0, "it is told")
    for _ in range(50):
        assert service.api.get("/v1/streamers/nobody").status_code == 404
    assert service.stop() == 0
    assert warnings() == 1
    assert "Traceback" not in service.output


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
    ],
)
def test_what_the_environment_has_wrong_is_named_at_the_start(
    bundle: Path, tmp_path: Path, name: str, value: str
) -> None:
    variables = {"OTEL_TRACES_EXPORTER": "otlp", name: value}
    done = run("serve", "--bundle", bundle, "--data-dir", tmp_path, "--port", 0, **variables)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {name}='{value}'")
