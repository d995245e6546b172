"""Records traces and sends them to an OpenTelemetry collector (OTLP over HTTP, protobuf).

A request that is not recorded costs a number drawn at random. Of one that is, spans are kept as
they end, and a thread of the SDK encodes and sends them: its queue is bounded, and what does not
fit into it is dropped.
"""

import logging
import random
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.span import TraceState
from opentelemetry.trace.status import Status, StatusCode

from service.telemetry.environment import SERVICE_NAME, TraceSettings
from service.telemetry.spans import Attribute, Attributes, Kind, Parent, Span

_log = logging.getLogger(__name__)
_MOST_SPANS = 256
"""Of one trace; an import has as many questions to the store as it has chunks."""
_END_S = 3.0
"""For what waits to be sent while the service stops."""
_KINDS = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
}
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_UNSET, _FAILED = Status(StatusCode.UNSET), Status(StatusCode.ERROR)


class _Resource(Resource):
    """A resource that the encoder groups spans by; the SDK's own makes JSON for each hash."""

    def __hash__(self) -> int:
        return id(self)


class _Trace:
    """What the spans of a trace share."""

    __slots__ = ("is_over", "left", "left_out", "offset_ns", "state", "tracer")

    def __init__(self, tracer: "OtlpTracer", state: TraceState | None) -> None:
        self.tracer = tracer
        self.state = state
        self.left = _MOST_SPANS
        self.left_out = 0
        self.is_over = False
        # One for all of them, so that no correction of the clock comes between two spans.
        self.offset_ns = time.time_ns() - time.perf_counter_ns()

    def at_ns(self, moment_s: float | None) -> int:
        """Since 1970, of a moment by `time.perf_counter`."""
        now_ns = time.perf_counter_ns() if moment_s is None else int(moment_s * 1e9)
        return self.offset_ns + now_ns


class _Recorded:
    """Implements `Span`."""

    __slots__ = (
        "_attributes",
        "_begin_ns",
        "_context",
        "_kind",
        "_link",
        "_name",
        "_parent",
        "_trace",
    )

    def __init__(
        self,
        trace: _Trace,
        trace_id: int,
        parent: SpanContext | None,
        name: str,
        attributes: Attributes | None,
        kind: Kind,
        begin_s: float | None,
        link: SpanContext | None = None,
    ) -> None:
        self._trace = trace
        self._context = SpanContext(trace_id, _drawn(64), False, _SAMPLED, trace.state)
        self._parent = parent
        self._name = name
        self._attributes: dict[str, Attribute] = {} if attributes is None else {**attributes}
        self._kind = _KINDS[kind]
        self._begin_ns = trace.at_ns(begin_s)
        self._link = link

    @property
    def trace_id(self) -> str:
        return f"{self._context.trace_id:032x}"

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self._context.span_id:016x}-01"

    def child(
        self,
        name: str,
        attributes: Attributes | None = None,
        *,
        kind: Kind = "internal",
        begin_s: float | None = None,
        link: Span | None = None,
    ) -> "_Recorded | None":
        trace = self._trace
        if trace.is_over:
            return None
        if trace.left <= 0:
            trace.left_out += 1
            return None
        trace.left -= 1
        linked = link._context if isinstance(link, _Recorded) else None
        own = self._context
        return _Recorded(trace, own.trace_id, own, name, attributes, kind, begin_s, linked)

    def tell(self, attributes: Attributes) -> None:
        self._attributes.update(attributes)

    def rename(self, name: str) -> None:
        self._name = name

    def end(self, *, at_s: float | None = None, error: str | None = None) -> None:
        trace = self._trace
        if self._parent is None or self._parent.is_remote:
            trace.is_over = True
            if trace.left_out:
                self._attributes["streamer.spans_left_out"] = trace.left_out
        if error is not None:
            self._attributes["error.type"] = error
        trace.tracer.take(
            ReadableSpan(
                self._name,
                self._context,
                self._parent,
                trace.tracer.resource,
                self._attributes,
                links=() if self._link is None else (Link(self._link),),
                kind=self._kind,
                status=_UNSET if error is None else _FAILED,
                start_time=self._begin_ns,
                end_time=trace.at_ns(at_s),
                instrumentation_scope=trace.tracer.scope,
            )
        )


class OtlpTracer:
    """Implements `Tracer`.

    Attributes:
        resource: what all spans tell of the process.
        scope: what made them.
    """

    def __init__(self, settings: TraceSettings, exporter: SpanExporter, version: str) -> None:
        """Send spans to `exporter`; the environment has the rest (`OTEL_BSP_...`)."""
        named = {} if settings.is_named else {"service.name": SERVICE_NAME}
        self.resource = _Resource(Resource.create({**named, "service.version": version}).attributes)
        self.scope = InstrumentationScope(SERVICE_NAME, version)
        self._bound = TraceIdRatioBased.get_bound_for_rate(settings.sampling.ratio)
        self._follows_parent = settings.sampling.follows_parent
        self._processor = BatchSpanProcessor(exporter)
        self.take = self._processor.on_end

    def begin(
        self,
        name: str,
        attributes: Attributes,
        *,
        kind: Kind,
        parent: Parent | None = None,
        link: Parent | None = None,
    ) -> _Recorded | None:
        """The first span of a request or of a job; see `Tracer.begin`."""
        trace_id = _drawn(128) if parent is None else parent.trace_id
        if parent is not None and self._follows_parent:
            is_recorded = parent.is_sampled
        else:
            is_recorded = trace_id & TraceIdRatioBased.TRACE_ID_LIMIT < self._bound
        if not is_recorded:
            return None
        state = remote = None
        if parent is not None:
            state = TraceState.from_header([parent.state]) if parent.state else None
            remote = _remote(parent, state)
        linked = None if link is None else _remote(link, None)
        trace = _Trace(self, state)
        return _Recorded(trace, trace_id, remote, name, attributes, kind, None, linked)

    def close(self) -> None:
        """Send what waits, for a few seconds; then the rest is dropped."""
        # The SDK's own would wait for 30 s; its thread is a daemon, as this one.
        ending = threading.Thread(
            target=self._processor.shutdown, name="end-of-traces", daemon=True
        )
        ending.start()
        ending.join(_END_S)
        if ending.is_alive():
            _log.warning("the last traces were not sent within %g s, and are dropped", _END_S)


class _Told(SpanExporter):
    """An exporter whose failures are told once, until it works again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._is_failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001 - what can't be sent stops no service
            result, reason = SpanExportResult.FAILURE, f": {type(error).__name__}"
        else:
            reason = ""
        is_failing = result is not SpanExportResult.SUCCESS
        if is_failing and not self._is_failing:
            _log.warning(
                "traces can't be sent%s; they are dropped until the collector answers "
                "(OTEL_EXPORTER_OTLP_ENDPOINT)",
                reason,
            )
        elif self._is_failing and not is_failing:
            _log.info("traces are sent again")
        self._is_failing = is_failing
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


@contextmanager
def recording(settings: TraceSettings, version: str) -> Generator[OtlpTracer]:
    """A tracer that sends its spans as the environment says; on leaving, the last of them."""
    # They write a line for each try, and for each span that does not fit into the queue.
    for name in ("opentelemetry.exporter.otlp", "opentelemetry.sdk._shared_internal"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    tracer = OtlpTracer(settings, _Told(OTLPSpanExporter()), version)
    try:
        yield tracer
    finally:
        tracer.close()


def _remote(parent: Parent, state: TraceState | None) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if parent.is_sampled else TraceFlags.DEFAULT)
    return SpanContext(parent.trace_id, parent.span_id, True, flags, state)


def _drawn(bits: int) -> int:
    """A random number above 0."""
    return random.getrandbits(bits) or 1
