"""The span of a request: what it tells, and the caller's that it continues.

It has the template of the route, never the path, the query, a header or a body: those tell of
streamers, or are secret.
"""

from starlette.types import Scope

from service.http.headers.request_ids import RequestIds
from service.telemetry.spans import Attribute, Parent, Span, Tracer, enter

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})
_UNEVENTFUL = frozenset({"/livez", "/startupz", "/readyz", "/metrics"})
"""Asked for every few seconds, and of no interest."""
_STATE = b"tracestate"
_STATE_CHARS = 512  # W3C Trace Context, section 3.3.1.5


def begin_span(
    tracer: Tracer | None, scope: Scope, ids: RequestIds, traceparent: str
) -> tuple[Span | None, RequestIds]:
    """The span of a request, which this task works for from now on, and the request's ids by it.

    Args:
        tracer: begins it; None: there are no traces.
        scope: of the request.
        ids: as its headers have them.
        traceparent: the header that the trace id was read from, if there is one.
    """
    if tracer is None:
        return None, ids
    if scope["path"] in _UNEVENTFUL:
        enter(None)
        return None, ids
    method: str = scope["method"]
    parent = None if ids.trace_id is None else _parent(scope, traceparent.strip())
    is_known = method in _METHODS
    about: dict[str, Attribute] = {
        "http.request.method": method if is_known else "_OTHER",
        "url.scheme": scope["scheme"],
        "network.protocol.version": scope["http_version"],
        "streamer.request_id": ids.request_id,
    }
    span = tracer.begin(method if is_known else "HTTP", about, kind="server", parent=parent)
    enter(span)
    return span, ids if span is None else RequestIds(ids.request_id, span.trace_id)


def end_span(span: Span | None, scope: Scope, status: int, received: int, sent: int) -> None:
    """The answer has ended, if the request is traced; status 0: none was begun."""
    if span is None:
        return
    about: dict[str, Attribute] = {
        "http.request.body.size": received,
        "http.response.body.size": sent,
    }
    error = None
    if status:
        about["http.response.status_code"] = status
        if status >= 500:
            error = str(status)
    else:
        error = "no_answer"
    route: str | None = getattr(scope.get("route"), "path_format", None)
    if route is not None and scope["method"] in _METHODS:
        about["http.route"] = route
        span.rename(f"{scope['method']} {route}")
    span.tell(about)
    span.end(error=error)


def _parent(scope: Scope, traceparent: str) -> Parent | None:
    states = [value.decode("latin-1") for name, value in scope["headers"] if name == _STATE]
    state = ",".join(states)
    return Parent.of(traceparent, state if len(state) <= _STATE_CHARS else "")
