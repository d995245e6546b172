"""A real service sends real traces to a collector: what is in them, and what is not."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bundles import TOPICS
from tests.service.conftest import Serve
from tests.service.data_sets import NDJSON, json_line
from tests.service.process import UNGROUPED, Service, wait_until
from tests.service.telemetry.receiver import Received, Receiver, below

pytestmark = pytest.mark.slow

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
INTERNAL, SERVER, CLIENT = 1, 2, 3
SIMILAR = "GET /v1/streamers/{streamer_id}/similar"
KEY = "secret-of-the-test-0123456789"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as started:
        yield started


@pytest.fixture(scope="module")
def traced(
    bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, Receiver]]:
    """A service that sends its traces, for tests that know theirs by the id."""
    data_dir = tmp_path_factory.mktemp("traced") / "data"
    with Receiver() as receiver:
        variables: dict[str, Any] = {**receiver.environment, "STREAMER_API_KEY": KEY}
        with Service(bundle, data_dir, **variables) as service:
            service.client.headers["Authorization"] = f"Bearer {KEY}"
            yield service.wait_until_ready(), receiver


def of(trace_id: str, sampled: bool = True) -> dict[str, str]:
    return {"traceparent": f"00-{trace_id}-{PARENT}-{int(sampled):02d}"}


def new_id() -> str:
    return os.urandom(16).hex()


def root_of(spans: list[Received], name: str) -> Received:
    (root,) = [span for span in spans if span.name == name]
    for span in spans:
        assert root.begin_ns <= span.begin_ns <= span.end_ns
        assert span is root or span.parent_id in {other.span_id for other in spans}
    return root


def test_a_write_is_traced_through_its_stages(traced: tuple[Service, Receiver]) -> None:
    service, receiver = traced
    trace_id = new_id()
    headers = of(trace_id) | {"tracestate": "vendor=1,other=2", "X-Request-Id": "asked-for"}
    answer = service.client.put(
        "/v1/streamers/private-id", json={"bio": TOPICS["music"]}, headers=headers
    )
    assert answer.status_code == 201
    name = "PUT /v1/streamers/{streamer_id}"
    spans = receiver.trace(trace_id, name)
    root = root_of(spans, name)
    assert (root.kind, root.parent_id, root.state) == (SERVER, PARENT, "vendor=1,other=2")
    assert root.attributes.items() >= {
        ("http.request.method", "PUT"),
        ("http.route", "/v1/streamers/{streamer_id}"),
        ("http.response.status_code", 201),
        ("http.response.body.size", len(answer.content)),
        ("url.scheme", "http"),
        ("streamer.request_id", "asked-for"),
    }
    stages = below(spans, root)
    assert {"queue", "encode", "store_write"} <= set(stages)
    encode, queue = stages["encode"], stages["queue"]
    assert encode.attributes == {"streamer.lane": "interactive", "streamer.items": 1}
    waits = [span for span in spans if span.attributes.get("streamer.stage") == "encode"]
    assert [wait.name for wait in waits] == ["queue"]
    assert waits[0].end_ns <= encode.begin_ns
    assert encode.kind == queue.kind == INTERNAL
    write = stages["store_write"]
    assert write.kind == CLIENT
    assert write.attributes == {"db.system.name": "redis", "db.operation.name": "EVALSHA"}
    assert write.begin_ns >= encode.end_ns


def test_the_short_route_of_similar_is_traced(traced: tuple[Service, Receiver]) -> None:
    service, receiver = traced
    service.put("a", bio=TOPICS["music"])
    service.put("b", bio=TOPICS["music"])
    trace_id = new_id()
    answer = service.client.get("/v1/streamers/a/similar?k=3", headers=of(trace_id))
    assert answer.status_code == 200
    spans = receiver.trace(trace_id, SIMILAR)
    root = root_of(spans, SIMILAR)
    search = below(spans, root)["search"]
    assert root.end_ns >= search.end_ns
    assert root.attributes["http.response.status_code"] == 200


def test_other_searches_are_traced_too(traced: tuple[Service, Receiver]) -> None:
    service, receiver = traced
    service.put("a", bio=TOPICS["music"])
    trace_id = new_id()
    query = {"positive": [{"profile": {"bio": TOPICS["music"]}}], "k": 3}
    answer = service.client.post("/v1/similar", json=query, headers=of(trace_id))
    assert answer.status_code == 200
    spans = receiver.trace(trace_id, "POST /v1/similar")
    root = root_of(spans, "POST /v1/similar")
    assert {"queue", "encode", "search"} <= set(below(spans, root))


def test_a_job_has_a_trace_of_its_own(traced: tuple[Service, Receiver]) -> None:
    service, receiver = traced
    trace_id = new_id()
    lines = "".join(json_line({"streamer_id": f"s{i}", "bio": TOPICS["music"]}) for i in range(20))
    headers, name = {**NDJSON, **of(trace_id)}, "POST /v1/jobs/imports"
    job = service.client.post("/v1/jobs/imports", content=lines, headers=headers).json()
    asked = root_of(receiver.trace(trace_id, name), name)

    def ended() -> list[Received]:
        return [span for span in receiver.spans if span.name == "job import"]

    wait_until(lambda: bool(ended()), "the job ends")
    (root,) = ended()
    assert root.parent_id == ""
    assert root.trace_id != trace_id
    assert root.links == [asked.span_id]
    assert root.attributes == {
        "streamer.job.id": job["job_id"],
        "streamer.job.attempt": 1,
        "streamer.job.state": "succeeded",
    }
    spans = [span for span in receiver.spans if span.trace_id == root.trace_id]
    assert {"encode", "store_write"} <= {span.name for span in spans}


def test_nothing_private_is_in_a_trace(traced: tuple[Service, Receiver]) -> None:
    service, receiver = traced
    for trace_id, path in (
        (new_id(), "/v1/streamers/private-id/similar?k=77"),
        (new_id(), "/v1/private-path?private=query"),
    ):
        service.client.get(path, headers=of(trace_id))
    service.client.put("/v1/streamers/private-id", json={"bio": "private-words"})
    trace_id = new_id()
    answer = service.client.get("/v1/streamers/private-id", headers=of(trace_id))
    receiver.trace(trace_id, "GET /v1/streamers/{streamer_id}")
    sent = b"".join(receiver.raw)
    assert answer.status_code == 200
    assert b"similar-streamer" in sent
    for secret in (b"private", b"k=77", KEY.encode()):
        assert secret not in sent


def test_refused_requests_are_traced_and_probes_are_not(traced: tuple[Service, Receiver]) -> None:
    service, receiver = traced
    probe_id, trace_id = new_id(), new_id()
    assert service.client.get("/metrics", headers=of(probe_id)).status_code == 200
    refused = {**of(trace_id), "Authorization": "Bearer another"}
    answer = service.client.get("/v1/streamers/a", headers=refused)
    assert (answer.status_code, answer.json()["trace_id"]) == (401, trace_id)
    (root,) = receiver.trace(trace_id, "GET")
    assert root.attributes["http.response.status_code"] == 401
    assert not root.is_error
    assert probe_id not in {span.trace_id for span in receiver.spans}


def test_a_trace_that_begins_here_names_problems(traced: tuple[Service, Receiver]) -> None:
    service, receiver = traced
    problem = service.client.post("/v1/similar", json={"positive": [{"vector": [1.0] * 4}]}).json()
    assert re.fullmatch("[0-9a-f]{32}", problem["trace_id"])
    receiver.trace(problem["trace_id"], "POST /v1/similar")
    assert {r["service.name"] for r in receiver.resources} == {"similar-streamer"}
    assert all(r["service.version"] for r in receiver.resources)


@pytest.mark.parametrize(
    ("sampler", "argument", "recorded"),
    [
        ("parentbased_traceidratio", "0", {None: False, True: True}),
        ("parentbased_always_on", "", {False: False}),
        ("always_off", "", {True: False}),
        ("always_on", "", {False: True}),
    ],
)
def test_the_sampler_decides(
    serve: Serve,
    receiver: Receiver,
    sampler: str,
    argument: str,
    recorded: dict[bool | None, bool],
) -> None:
    variables = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument}
    service = serve(**receiver.environment, **variables)
    trace_ids = {is_callers: new_id() for is_callers in recorded}
    for is_callers, trace_id in trace_ids.items():
        headers = {} if is_callers is None else of(trace_id, is_callers)
        problem = service.client.get("/v1/streamers/nobody", headers=headers).json()
        assert problem.get("trace_id") == (None if is_callers is None else trace_id)
    assert service.stop() == 0  # whatever was recorded has been sent
    sent = {span.trace_id for span in receiver.spans}
    assert sent == {trace_ids[is_callers] for is_callers in recorded if recorded[is_callers]}


def test_what_waits_is_sent_at_the_end(serve: Serve, receiver: Receiver) -> None:
    late = receiver.environment | {"OTEL_BSP_SCHEDULE_DELAY": "600000"}
    service = serve(OTEL_SERVICE_NAME="mine", **late)
    service.client.get("/v1/streamers/nobody", headers=of(TRACE))
    assert not receiver.spans
    assert service.stop() == 0
    assert [s.name for s in receiver.spans if s.parent_id == PARENT] == [
        "GET /v1/streamers/{streamer_id}"
    ]
    assert {r["service.name"] for r in receiver.resources} == {"mine"}


def warnings_of(service: Service) -> int:
    return service.output.count("traces can't be sent")


def test_a_collector_that_is_down_costs_one_warning(
    serve: Serve, receiver: Receiver, free_port: int
) -> None:
    variables = receiver.environment | {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port}",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "0.5",
        "OTEL_BSP_MAX_QUEUE_SIZE": "8",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4",
    }
    service = serve(**variables)
    for _ in range(50):
        assert service.client.get("/v1/streamers/nobody").status_code == 404
    wait_until(lambda: warnings_of(service) > 0, "it is told")
    for _ in range(50):
        assert service.client.get("/v1/streamers/nobody").status_code == 404
    assert service.stop() == 0
    assert warnings_of(service) == 1
    assert "Traceback" not in service.output
    assert "opentelemetry" not in service.output


def test_it_is_told_when_the_collector_answers_again(serve: Serve, receiver: Receiver) -> None:
    receiver.status = 400
    service = serve(**receiver.environment)
    service.client.get("/v1/streamers/nobody")
    wait_until(lambda: warnings_of(service) == 1, "it is told")
    receiver.status = 200
    service.client.get("/v1/streamers/nobody", headers=of(TRACE))
    receiver.trace(TRACE, "GET /v1/streamers/{streamer_id}")
    wait_until(lambda: "traces are sent again" in service.output, "it is told")


@pytest.mark.usefixtures("new_processes")
def test_a_silent_collector_does_not_keep_the_service_from_ending(
    serve: Serve, receiver: Receiver, silent_store: str
) -> None:
    silent = silent_store.replace("redis://", "http://")
    service = serve(**receiver.environment | {"OTEL_EXPORTER_OTLP_ENDPOINT": silent})
    service.client.get("/v1/streamers/nobody")
    assert service.stop() == 0
    # The exporter alone would wait for 10 s, and the SDK for 30 s.
    assert "were not sent within 3 s" in service.output


def test_a_trace_has_so_many_spans_and_no_more(serve: Serve, receiver: Receiver) -> None:
    service = serve(STREAMER_LIMITS__BULK_LINES="5000", **UNGROUPED, **receiver.environment)
    lines = "".join(json_line({"streamer_id": f"s{i}", "tags": ["music"]}) for i in range(2000))
    headers = {**NDJSON, **of(TRACE)}
    service.client.post("/v1/streamers:bulk", content=lines, headers=headers).raise_for_status()
    spans = receiver.trace(TRACE, "POST /v1/streamers:bulk")
    root = root_of(spans, "POST /v1/streamers:bulk")
    assert root.attributes["streamer.spans_left_out"] > 0
    assert len(spans) == 257
