"""HTTP connections with limits: bytes of a header, seconds of waiting, number of connections.

uvicorn's parser has none of them: it takes a header of any size, in quadratic time, before any
middleware sees the request.
"""

import json
import logging
import resource
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, cast

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from service.errors import (
    HeaderTooLarge,
    HeaderTooSlow,
    MalformedRequest,
    ServiceError,
    StartupError,
    TooManyConnections,
)
from service.http.admission import REFUSAL_HEADERS, REFUSED, is_counted, refusal_of
from service.http.documents import MEDIA_TYPE, problem_of, send_problem
from service.http.headers.request_ids import REQUEST_ID, answer_as, ids_of, read_ids
from service.http.lifecycle import Lifecycle
from service.http.traffic import Traffic
from service.settings import Server

_log = logging.getLogger(__name__)
_uvicorn_log = logging.getLogger("uvicorn.error.connections")
_uvicorn_log.setLevel(logging.ERROR)  # a warning for all that is no HTTP: anybody could fill disks

_MAX_DESCRIPTORS = 65_536
_MAX_CONNECTIONS = 4096
_RESERVED_DESCRIPTORS = 256  # for files, the store, and pictures that are being fetched
_TELL_AGAIN_S = 60
_MOST_PIPELINED = 32  # requests behind the one that is being answered
_LINGER_S = 2  # a refused client may read the answer for so long, until its own bytes are dropped


def connection_limit(wanted: int | None) -> int:
    """Connections that may be open at once; raises the soft limit of open files for them.

    Args:
        wanted: by the settings; None takes what there are descriptors for.

    Raises:
        StartupError: there are not enough descriptors for what is wanted.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    open_files = _MAX_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
    possible = max(open_files // 2, open_files - _RESERVED_DESCRIPTORS)
    if wanted is None:
        return min(possible, _MAX_CONNECTIONS)
    if wanted > possible:
        raise StartupError(
            f"STREAMER_SERVER__MAX_CONNECTIONS={wanted} needs more open files than "
            f"{open_files}, which is the limit: raise it (ulimit -n), or set at most {possible}"
        )
    return wanted


class Connections:
    """All open connections; closes those that wait too long, or are too many.

    Attributes:
        limit: connections that may be open at once.
        settings: the limits of a single connection.
        lifecycle: of the service.
        waiting: connections without a request under way, and since when; the longest first.
    """

    def __init__(self, settings: Server, limit: int, lifecycle: Lifecycle) -> None:
        """Nobody is connected yet."""
        self.limit = limit
        self.lifecycle = lifecycle
        self._told = -_TELL_AGAIN_S
        self._refusal: tuple[list[tuple[bytes, bytes]], bytes] = ([], b"")
        self.settings = settings
        self.waiting: dict[HttpConnection, float] = {}

    def close_expired(self, open_connections: Iterable["HttpConnection"], now: float) -> None:
        """Close connections whose client lets them wait; called about once a second."""
        for connection, since in list(self.waiting.items()):
            connection.expire(now - since)
        for connection in list(open_connections):
            if connection.is_stalled(now):
                connection.transport.abort()

    def refusal_head(self, default_headers: list[tuple[bytes, bytes]]) -> bytes:
        """Beginning of a refusal's header; uvicorn makes a new list of its own each second."""
        if self._refusal[0] is not default_headers:
            lines = [b"%s: %s\r\n" % line for line in (*default_headers, *REFUSAL_HEADERS)]
            self._refusal = (default_headers, STATUS_LINE[REFUSED] + b"".join(lines))
        return self._refusal[1]

    def make_room(self, count: int, newest: "HttpConnection") -> bool:
        """Close the connection that has waited longest, if `count` is over the limit.

        Returns:
            Whether there is room for the newest connection.
        """
        if count <= self.limit:
            return True
        oldest = next(iter(self.waiting))  # there is one: the newest waits
        if oldest is newest:
            if self.waiting[newest] - self._told >= _TELL_AGAIN_S:
                self._told = self.waiting[newest]
                _log.warning("all %d connections are in use: others get 503", self.limit)
            return False
        del self.waiting[oldest]
        oldest.transport.abort()
        return True


class HttpConnection(HttpToolsProtocol):
    """A connection of uvicorn's, with limits."""

    connections: set["HttpConnection"]  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, *args: Any, limits: Connections, **kwargs: Any) -> None:
        """Take the arguments of uvicorn's protocol; `limits` are shared by all connections."""
        super().__init__(*args, **kwargs)
        self.logger = _uvicorn_log
        self._limits = limits
        self._unparsed = 0  # bytes since the parser last completed a header or a piece of a body
        self._is_refused = False
        self._is_receiving = False  # the body of a request, answered or not
        self._has_asked = False  # only then there is a cycle
        self._answering: RequestResponseCycle | None = None
        self._has_room = True
        self._unsent = 0
        self._unsent_since = 0.0

    def connection_made(self, transport: Any) -> None:
        """Count the connection; one too many is closed, or answered as `at_capacity` does."""
        super().connection_made(transport)
        self._wait()
        self._has_room = self._limits.make_room(len(self.connections), self)
        if not self._has_room:
            traffic = self._limits.lifecycle.traffic
            self.app = cast(Any, at_capacity(cast(ASGIApp, self.app), traffic))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection, and the requests that nobody waits for any more."""
        self._limits.waiting.pop(self, None)
        self.pipeline.clear()
        if self._answering is not None:  # uvicorn tells the request that was read last
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless a header has become too large."""
        if self._is_refused:
            return
        is_idle = self._has_asked and not self._unparsed and not self._is_receiving
        if is_idle and self in self._limits.waiting:
            self._wait()  # the first byte of another request
        limit = self._limits.settings.header_limit_bytes
        rest: bytes | memoryview = data
        while rest:
            room = limit - self._unparsed
            if len(rest) > room:
                part, rest = memoryview(rest)[:room], memoryview(rest)[room:]
            else:
                part, rest = rest, b""
            self._unparsed += len(part)
            super().data_received(cast(bytes, part))
            if self._is_refused:
                return
            if self._unparsed >= limit:
                detail = (
                    f"request line and headers may have {limit} bytes, and so may what a body has "
                    "beside its content; send less"
                )
                self._refuse(HeaderTooLarge(detail))
                return

    def on_message_begin(self) -> None:
        """Begin a header, even if it came together with the request before."""
        super().on_message_begin()
        self._unparsed = self._unparsed or 1

    def on_headers_complete(self) -> None:
        """Begin the request."""
        super().on_headers_complete()
        self._has_asked = self._is_receiving = True
        self._unparsed = 0
        self._limits.waiting.pop(self, None)
        if self.parser is not None and self.parser.should_upgrade():
            # The parser takes such a request to have no body, and would read one as more requests.
            self._is_refused, self.cycle.keep_alive = True, False
        self.headers = []  # trailers are no headers of the request, which has its own list
        if not self._has_room:
            self.cycle.keep_alive = False
        if self.cycle.response_complete:  # refused already
            self._wait()
        if len(self.pipeline) > _MOST_PIPELINED:
            # uvicorn reads on after each answer, however many requests are here already.
            self._is_refused = True
            self.pipeline.clear()
            self.transport.abort()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Count a request from the moment that it is read, or refuse it without a task.

        The application would count and refuse it likewise. But those that were read together wait
        for each other before it sees them, and a refusal would cost several times as much.
        """
        limits, scope = self._limits, cast(Scope, cycle.scope)
        if self._has_room and limits.lifecycle.is_serving and is_counted(scope):
            entered = limits.lifecycle.limiter.enter(scope)
            if entered is None and not self.pipeline and not self.flow.write_paused:
                self._refuse_one(cycle, scope)
                return
            scope["admitted"] = entered
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _refuse_one(self, cycle: RequestResponseCycle, scope: Scope) -> None:
        self._limits.lifecycle.traffic.note(scope, REFUSED, 0.0)
        self._unparsed = 0
        head = self._limits.refusal_head(self.server_state.default_headers)
        body, differing = refusal_of(scope)
        lines = b"".join(b"%s: %s\r\n" % line for line in differing)
        end = b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n"
        cycle.response_started = cycle.response_complete = True
        self.transport.write(head + lines + end + (b"" if scope["method"] == "HEAD" else body))
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def on_body(self, body: bytes) -> None:
        """Hand a piece of a body on."""
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request."""
        self._unparsed, self._is_receiving = 0, False
        super().on_message_complete()
        if self.cycle.response_complete and self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        """Wait for the next request, unless it is there already."""
        super().on_response_complete()
        if self.cycle.response_complete:
            self._wait()
        if self._unparsed:  # it has begun: the time for headers counts
            self._unset_keepalive_if_required()

    def send_400_response(self, msg: str) -> None:
        """Refuse what can't be parsed."""
        self._refuse(MalformedRequest("this is not HTTP/1.1"))

    def expire(self, waited_s: float) -> None:
        """Refuse or close a connection that has been without a request for too long.

        uvicorn has a timer for connections that wait for another request.
        """
        if self._is_refused:
            if waited_s >= _LINGER_S:
                self.transport.abort()
            return
        timeout_s = self._limits.settings.header_timeout_s
        if waited_s < timeout_s:
            return
        if self._unparsed:
            detail = f"the header did not come within {timeout_s:g} s; send it faster"
            self._refuse(HeaderTooSlow(detail))
        elif not self._has_asked:
            self.transport.close()
        elif self._is_receiving:  # the rest of a body that was answered already, at any pace
            self.transport.abort()

    def is_stalled(self, now: float) -> bool:
        """Whether the client has taken nothing of an answer for too long."""
        unsent = self.transport.get_write_buffer_size()
        if unsent < self._unsent or not self._unsent:  # some was taken, or nothing was there
            self._unsent_since = now
        self._unsent = unsent
        return unsent > 0 and now - self._unsent_since >= self._limits.settings.idle_timeout_s

    def _wait(self) -> None:
        self._limits.waiting.pop(self, None)
        self._limits.waiting[self] = self.loop.time()

    def _refuse(self, error: ServiceError) -> None:
        """Answer something that is no request, then close; what else comes is dropped."""
        self._is_refused = True
        cycle = self.cycle
        if self._has_asked and not cycle.response_complete:
            if self.pipeline or (cycle.more_body and cycle.response_started):
                self.transport.close()
                return
            if not cycle.more_body:  # its answer comes first
                cycle.keep_alive = False
                return
            cycle.disconnected = True  # the body is wrong, so that nobody waits for the rest of it
            cycle.message_event.set()
        self._unset_keepalive_if_required()
        self._wait()
        request_id = read_ids("", "").request_id  # what was sent can't be read
        headers = [
            *self.server_state.default_headers,
            (b"connection", b"close"),
            (REQUEST_ID, request_id.encode()),
        ]
        document = problem_of(error, request_id)
        self.transport.write(STATUS_LINE[error.status] + _encoded(headers, document))
        # Closed at once, the client's unread bytes would reset the connection before it has read.
        if self.transport.can_write_eof():
            self.transport.write_eof()


def _encoded(headers: list[tuple[bytes, bytes]], document: dict[str, Any]) -> bytes:
    body = json.dumps(document, ensure_ascii=False).encode()
    lines = [
        *headers,
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    return b"".join(b"%s: %s\r\n" % line for line in lines) + b"\r\n" + body


class ConnectionCounts(Collector):
    """Tells how many connections are open, and how many may be."""

    def __init__(self, connections: Sized, limit: int) -> None:
        """Tell of these."""
        self._connections, self._limit = connections, limit

    def collect(self) -> Iterator[Metric]:
        """Both, read at this moment."""
        for name, about, value in (
            ("streamer_connections", "Open connections.", len(self._connections)),
            ("streamer_connections_limit", "Connections that may be open.", self._limit),
        ):
            yield GaugeMetricFamily(name, about, value)


def at_capacity(app: ASGIApp, traffic: Traffic) -> Callable[[Scope, Receive, Send], Any]:
    """An application that answers probes and `/metrics` as `app` does, and refuses the rest."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if not is_counted(scope):
            await app(scope, receive, send)
            return
        traffic.note(scope, TooManyConnections.status, 0.0)
        await send_problem(
            answer_as(scope, ids_of(scope), send),
            TooManyConnections(
                "all connections that the service may have are in use; try again, and keep "
                "connections open from one request to the next"
            ),
        )

    return answer
