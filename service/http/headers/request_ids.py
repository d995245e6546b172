"""Ids of a request: `X-Request-Id`, and the trace id of `traceparent` (W3C Trace Context).

Both are in every problem document and in the log lines of the request; the request id is in the
header of every answer as well. A request without an id gets one. A trace that begins here
gives its id too (`service.http.headers.traces`).
"""

import logging
import os
import re
from contextvars import ContextVar
from typing import NamedTuple

from starlette.types import Message, Scope, Send

REQUEST_ID, TRACEPARENT = b"x-request-id", b"traceparent"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_TRACEPARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace_id>[0-9a-f]{32})"
    r"-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<later>-.*)?",
    re.DOTALL,
)


class RequestIds(NamedTuple):
    """What names a request.

    Attributes:
        request_id: the caller's, or drawn at random.
        trace_id: 32 hex digits; None where neither the caller nor the service traces.
    """

    request_id: str
    trace_id: str | None = None


_current: ContextVar[RequestIds | None] = ContextVar("request_ids", default=None)


def trace_id_of(traceparent: str) -> str | None:
    """The trace id of the header; None where it is malformed, which the standard says to ignore.

    A version after 00 may have more fields behind those that are known (W3C Trace Context,
    section 3.2.4).
    """
    found = _TRACEPARENT.fullmatch(traceparent.strip())
    if found is None or (found["later"] is not None and found["version"] == "00"):
        return None
    return found["trace_id"]


def read_ids(request_id: str, traceparent: str) -> RequestIds:
    """The ids of a request by the values of its headers, "" for one that did not come."""
    return RequestIds(
        request_id if _REQUEST_ID.fullmatch(request_id) else os.urandom(16).hex(),
        trace_id_of(traceparent) if traceparent else None,
    )


def ids_of(scope: Scope) -> RequestIds:
    """The ids of a request that nothing has looked at yet."""
    request_id = traceparent = ""
    count = 0
    for name, value in scope.get("headers", ()):
        if name == REQUEST_ID:
            request_id = request_id or value.decode("latin-1")
        elif name == TRACEPARENT:
            count += 1
            traceparent = value.decode("latin-1")
    return read_ids(request_id, traceparent if count == 1 else "")


def current_ids() -> RequestIds | None:
    """The ids of the request that is being answered."""
    return _current.get()


def header_of(request_id: str) -> tuple[bytes, bytes]:
    """The header of an answer."""
    return REQUEST_ID, request_id.encode()


def enter(scope: Scope, ids: RequestIds) -> None:
    """Set the scope's `request_id` and `trace_id`; what is logged from now on has them."""
    scope["request_id"], scope["trace_id"] = ids
    _current.set(ids)


def answer_as(scope: Scope, ids: RequestIds, send: Send) -> Send:
    """Enter, and make a `send` that adds `X-Request-Id` to the answer."""
    enter(scope, ids)
    header = header_of(ids.request_id)

    async def send_with_id(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), header]
        await send(message)

    return send_with_id


class IdsInLog(logging.Filter):
    """Gives log records the `request_id` and the `trace_id` of their request, where there are any.

    `ids` has both for a line of text, with a blank before each.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        ids = _current.get()
        found = {} if ids is None else {n: v for n, v in ids._asdict().items() if v is not None}
        told = "".join(f" {name}={value}" for name, value in found.items())
        record.__dict__.update(found, ids=told)
        return True
