"""A collector: takes traces by OTLP over HTTP, as protobuf."""

import gzip
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.service.process import wait_until


class Received(NamedTuple):
    """A span as it came."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    begin_ns: int
    end_ns: int
    attributes: dict[str, Any]
    is_error: bool
    state: str
    links: list[str]


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


def _spans(request: Any) -> Iterable[Received]:
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Received(
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.kind,
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    {pair.key: _value(pair.value) for pair in span.attributes},
                    span.status.code == 2,
                    span.trace_state,
                    [link.span_id.hex() for link in span.links],
                )


class Receiver:
    """Listens on a port of this machine; a context manager.

    Attributes:
        spans: all that came.
        resources: attributes of the processes that sent them.
        raw: the bodies.
        status: with which it answers.
    """

    def __init__(self) -> None:
        self.spans: list[Received] = []
        self.resources: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if receiver.status == 200:
                    assert self.path == "/v1/traces"
                    assert self.headers["Content-Type"] == "application/x-protobuf"
                    receiver.take(body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(receiver.status)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        self.raw.append(body)
        for resource in request.resource_spans:
            pairs = resource.resource.attributes
            self.resources.append({pair.key: _value(pair.value) for pair in pairs})
        self.spans += _spans(request)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """What a service needs to send its traces here, soon."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self._server.server_port}",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "NO_PROXY": "127.0.0.1",
        }

    def trace(self, trace_id: str, root: str) -> list[Received]:
        """Spans of a trace, once the span of this name, which ends last, has come."""

        def is_there() -> bool:
            return any(s.trace_id == trace_id and s.name == root for s in list(self.spans))

        wait_until(is_there, f"the span {root} comes")
        return [span for span in self.spans if span.trace_id == trace_id]


def below(spans: Iterable[Received], parent: Received) -> dict[str, Received]:
    """Children of a span by name, the last of each."""
    return {span.name: span for span in spans if span.parent_id == parent.span_id}
