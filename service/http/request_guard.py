"""Request guard: ASGI middleware that refuses a request before anything reads its body.

It gives each request an id, and checks the API key, its scopes and rate limits (or without one, who
asks), content types and the size and pace of bodies. FastAPI reads a body before dependencies run:
these would be too late.
"""

import asyncio
import logging
import re
import time
from collections.abc import Collection, Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import (
    AuditUnavailable,
    BodyTooLarge,
    MalformedRequest,
    NoSuchPath,
    Overloaded,
    RateLimited,
    RequestError,
    ServiceError,
    Stopping,
    UnsupportedMediaType,
)
from service.http.admission import PROBES
from service.http.auth.audit import RequestAudit
from service.http.auth.callers import KEYLESS, KeyRing, caller_by
from service.http.auth.guarded_answer import GuardedAnswer
from service.http.auth.local_callers import LocalCallers
from service.http.auth.rate_limits import Charges, RateLimits
from service.http.auth.route_scopes import RouteScope, RouteScopes, is_public
from service.http.documents import send_problem
from service.http.headers.request_ids import REQUEST_ID, TRACEPARENT, enter, read_ids
from service.http.headers.traces import begin_span, end_span
from service.http.lifecycle import STOPPING, Lifecycle
from service.http.ndjson import (
    BULK_PATH,
    COLD_START_PATH,
    HAND_OVERS,
    IMPORTS_PATH,
    STREAMED,
    streamed_route,
)
from service.http.traffic import Traffic
from service.telemetry.spans import Tracer

_log = logging.getLogger(__name__)
_ONCE = frozenset({b"authorization", b"content-type", b"host", b"origin"})
_READ = _ONCE | {
    b"content-encoding",
    b"content-length",
    b"transfer-encoding",
    b"upgrade",
    REQUEST_ID,
    TRACEPARENT,
}
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_JSON = re.compile(r"application/(?:[a-z0-9.-]+\+)?json")


class RequestGuard:
    """ASGI middleware; guards everything but the probes."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        traffic: Traffic,
        lifecycle: Lifecycle,
        scopes: RouteScopes,
        hosts: Collection[str],
        body_limit: int,
        bulk_body_limit: int,
        upload_limit: int,
        hand_over_limit: int,
        body_timeout_s: float,
        bulk_min_bytes: int,
        bodies_bytes: int,
        tracer: Tracer | None = None,
    ) -> None:
        """Guard `app`.

        Args:
            app: answers what may pass.
            traffic: counts requests.
            lifecycle: tells when bodies are given up.
            scopes: what a key needs for each route. As long as there is no key, requests pass that
                call the service by a name of this machine.
            hosts: other names that count as this machine's.
            body_limit: bytes of a body.
            bulk_body_limit: bytes of a body with many lines.
            upload_limit: bytes of one that is imported.
            hand_over_limit: bytes of one with all vectors of a recommender.
            body_timeout_s: seconds in which a body has to come.
            bulk_min_bytes: bytes of one with many lines that have to come in so many seconds.
            bodies_bytes: of all bodies together that are being received or answered.
            tracer: begins a trace for each request; None: there are none.
        """
        self._app = app
        self._traffic = traffic
        self._lifecycle = lifecycle
        self._scopes = scopes
        self._local = LocalCallers(hosts)
        self._body_limit = body_limit
        self._limits_of_streamed = {
            BULK_PATH: bulk_body_limit,
            COLD_START_PATH: body_limit,
            IMPORTS_PATH: upload_limit,
            HAND_OVERS: hand_over_limit,
        }
        self._body_timeout_s = body_timeout_s
        self._bulk_min_bytes = bulk_min_bytes
        self._memory = _Memory(bodies_bytes)
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin = time.perf_counter()
        headers, repeated = _headers(scope)
        traceparent = headers.get(TRACEPARENT, "")
        ids = read_ids(headers.get(REQUEST_ID, ""), traceparent)
        span, ids = begin_span(self._tracer, scope, ids, traceparent)
        enter(scope, ids)
        answer = GuardedAnswer(scope, send)
        limit, min_bytes, memory = self._body_limit, None, self._memory
        streamed = streamed_route(scope["method"], scope["path"])
        if streamed is not None and not _is_json(headers):
            limit, min_bytes = self._limits_of_streamed[streamed], self._bulk_min_bytes
        is_kept = min_bytes is None or streamed == COLD_START_PATH
        if not is_kept or scope["method"] not in _WITH_BODY:
            memory = _Memory(limit)  # of its own: the body is processed or dropped as it comes
        body = _Body(
            receive, limit, self._body_timeout_s, self._lifecycle, memory, min_bytes=min_bytes
        )
        try:
            self._admit(scope, headers, repeated, limit, answer)
            await self._app(scope, body, answer.send)
        except (RequestError, RateLimited, AuditUnavailable) as error:
            await send_problem(answer.send, error)  # the application answers its own
        except Exception as error:
            if answer.status and isinstance(known := error.__cause__, ServiceError):
                _log.warning("an answer was cut off: %s", known.detail)
                raise
            _log.error("unexpected error", exc_info=error)
            if answer.status:
                if answer.status != ServiceError.status:
                    self._traffic.unexpected.inc()  # its status does not show it
                raise  # a begun answer is cut off
            await send_problem(answer.send, ServiceError(ServiceError.example))
        except asyncio.CancelledError:
            if not self._lifecycle.is_draining:
                raise
            if not answer.status:  # the time to stop is over; a begun answer is cut off
                await send_problem(answer.send, Stopping(STOPPING))
        finally:
            body.release()
            answer.finish()
            took_s = time.perf_counter() - begin
            self._traffic.note(scope, answer.status, took_s, body.seen, answer.sent)
            end_span(span, scope, answer.status, body.seen, answer.sent)

    def _admit(
        self,
        scope: Scope,
        headers: Mapping[bytes, str],
        repeated: str | None,
        limit: int,
        answer: GuardedAnswer,
    ) -> None:
        """Check a request; one that needs a key has `audit` in its scope then.

        Raises:
            RequestError: it may not pass.
            RateLimited: its key may not ask so often.
            AuditUnavailable: it has to be in the audit log, which can't be written.
        """
        path: str = scope["path"]
        if is_public(path):
            self._check(scope, headers, repeated, limit, None)
            return
        route = self._scopes.route_of(scope["method"], path)
        audit = RequestAudit(scope["state"]["services"].audit, scope, route)
        scope["audit"] = answer.audit = audit
        self._check(scope, headers, repeated, limit, route)
        audit.begin()

    def _check(
        self,
        scope: Scope,
        headers: Mapping[bytes, str],
        repeated: str | None,
        limit: int,
        route: RouteScope | None,
    ) -> None:
        """Refuse a request that may not pass.

        Raises:
            RequestError: why.
        """
        path: str = scope["path"]
        if repeated is not None:
            raise MalformedRequest(f"the header {repeated} came more than once; send it once")
        if scope["http_version"] not in ("1.0", "1.1"):  # the parser takes 0.9 and 2.0 as well
            raise MalformedRequest("this is not HTTP/1.1")
        if b"host" not in headers and scope["http_version"] == "1.1":  # RFC 9112, section 3.2
            raise MalformedRequest("a request by HTTP/1.1 names its host; send the header Host")
        if "\n" in path:  # which a pattern's `$` would pass over
            raise NoSuchPath("a path has no line breaks; remove %0A")
        keys: KeyRing = scope["state"]["services"].key_ring
        if keys.is_open:
            if path not in PROBES:
                self._local.check(headers)
            scope["caller"] = KEYLESS
        elif not is_public(path):
            _let_in(scope, keys, headers, route)
        length = headers.get(b"content-length", "")
        if length.isdigit() and int(length) > limit:
            raise _too_large(limit)
        if scope["method"] in _WITH_BODY and (length.strip("0") or b"transfer-encoding" in headers):
            _check_body(scope, headers, has_route=route is not None)


def _check_body(scope: Scope, headers: Mapping[bytes, str], *, has_route: bool) -> None:
    """Refuse a body by its headers, with a RequestError that says why."""
    if b"upgrade" in headers:
        raise MalformedRequest(
            "a request with a body can't ask for another protocol; send it as HTTP/1.1, "
            "without Upgrade"
        )
    if has_route:  # else it is the path or the method that is wrong
        streamed = streamed_route(scope["method"], scope["path"])
        _check_content_type(streamed, headers.get(b"content-type", ""))
    if headers.get(b"content-encoding", "identity").lower() not in ("", "identity"):
        raise UnsupportedMediaType(
            "bodies are not decompressed here: send this one as it is, without Content-Encoding"
        )


def _let_in(
    scope: Scope, keys: KeyRing, headers: Mapping[bytes, str], route: RouteScope | None
) -> None:
    """Find out who asks, and charge the first unit.

    Raises:
        Unauthorized: nobody who is known.
        MissingScope: somebody who may not.
        RateLimited: somebody who may not so often.
    """
    scope["caller"] = caller = caller_by(keys, headers.get(b"authorization", ""))
    if route is None:  # no route answers
        return
    caller.require(route.scope, *route.others)
    limits: RateLimits = scope["state"]["services"].rate_limits
    scope["charges"] = charges = Charges(limits, caller)
    charges.reach(route.scope, 1)


def _headers(scope: Scope) -> tuple[dict[bytes, str], str | None]:
    """Headers that are looked at (the first of each), and the name of one that came too often."""
    found: dict[bytes, str] = {}
    repeated: str | None = None
    for name, value in scope["headers"]:
        if name in _READ:
            if name in found and name in _ONCE:
                repeated = name.decode()
            if name in found and name == TRACEPARENT:
                found[name] = ""  # of several, none counts (W3C Trace Context, section 3.2)
            found.setdefault(name, value.decode("latin-1"))
    return found, repeated


def _kind_of(declared: str) -> str:
    return declared.partition(";")[0].strip().lower()


def _is_json(headers: Mapping[bytes, str]) -> bool:
    return _JSON.fullmatch(_kind_of(headers.get(b"content-type", ""))) is not None


def _check_content_type(streamed: str | None, declared: str) -> None:
    kind = _kind_of(declared)
    takes_json = streamed in (None, IMPORTS_PATH)
    kinds = STREAMED.get(streamed or "", ())
    if kind in kinds or (takes_json and _JSON.fullmatch(kind)):
        return
    wanted = ", ".join(kinds) or "application/json"
    also = ", or a path as application/json" if kinds and takes_json else ""
    raise UnsupportedMediaType(
        f"send the body with Content-Type: {wanted}{also}; it came "
        + (f"as {kind[:100]!r}" if kind else "without one")
    )


class BodyRefused(HTTPException):
    """An error of the service, as the framework lets it pass while it reads a body."""

    def __init__(self, error: ServiceError) -> None:
        super().__init__(error.status, error.detail)
        self.error = error


class _Memory:
    """Bytes that bodies take, all requests together."""

    def __init__(self, limit: int) -> None:
        self.left = limit


class _Body:
    """A `receive` that stops a body at the limit, declared or not, and one that doesn't come."""

    def __init__(
        self,
        receive: Receive,
        limit: int,
        timeout_s: float,
        lifecycle: Lifecycle,
        memory: _Memory,
        *,
        min_bytes: int | None,
    ) -> None:
        self._memory = memory
        self._held = 0
        self._receive = receive
        self._lifecycle = lifecycle
        self._limit = limit
        self.seen = 0
        self._timeout_s = timeout_s
        self._min_bytes = min_bytes  # for each time of waiting; None: all of them in one
        self._came = 0  # bytes in the present one
        self._left_s = timeout_s  # of it
        self._is_complete = False  # then `receive` waits for the client to leave

    async def __call__(self) -> Message:
        if self._is_complete:
            return await self._receive()
        message = await self._next()
        if message["type"] == "http.request":
            self._is_complete = not message.get("more_body", False)
            size = len(message.get("body", b""))
            self.seen += size
            if self.seen > self._limit:
                raise HTTPException(413, _too_large(self._limit).detail)
            self._hold(size)
            if self._min_bytes is not None:
                self._came += size
                if self._came >= self._min_bytes:
                    self._came, self._left_s = 0, self._timeout_s
        return message

    def release(self) -> None:
        """Let others have the memory that the body took."""
        self._memory.left += self._held
        self._held = 0

    def _hold(self, size: int) -> None:
        if size > self._memory.left:
            raise BodyRefused(
                Overloaded("the bodies of all requests take too much memory; send this one later")
            )
        self._memory.left -= size
        self._held += size

    async def _next(self) -> Message:
        lifecycle, loop = self._lifecycle, asyncio.get_running_loop()
        began = loop.time()
        if began >= lifecycle.bodies_end:
            raise _stopping()
        waits = asyncio.timeout_at(min(began + self._left_s, lifecycle.bodies_end))
        lifecycle.waits.add(waits)
        try:
            async with waits:
                return await self._receive()
        except TimeoutError:
            if waits.when() == lifecycle.bodies_end:
                raise _stopping() from None
            least = "" if self._min_bytes is None else f"{self._min_bytes} bytes of "
            raise HTTPException(
                408, f"{least}the body did not come within {self._timeout_s:g} s; send it faster"
            ) from None
        finally:
            lifecycle.waits.discard(waits)
            self._left_s -= loop.time() - began


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"the body may have {limit} bytes; send less at once, many streamers by {BULK_PATH}"
    )


def _stopping() -> HTTPException:
    return HTTPException(Stopping.status, STOPPING)
