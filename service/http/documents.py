"""Problem documents (RFC 9457): the body of every error, and its place in the OpenAPI document."""

import itertools
import json
from collections.abc import Sequence
from typing import Any

from starlette.types import Send

from service.errors import (
    BodyTooLarge,
    BodyTooSlow,
    HostNotAllowed,
    InvalidRequest,
    MalformedBody,
    MalformedRequest,
    MediaNotFetched,
    MediaUnavailable,
    MissingScope,
    ModelChanged,
    NotReady,
    NotYetVisible,
    OriginNotAllowed,
    Overloaded,
    RateLimited,
    ServiceError,
    Stopping,
    StoreFull,
    StoreUnavailable,
    TooManyConnections,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
    UrlRefused,
)
from service.http.headers.request_ids import current_ids
from service.http.schemas import SHOWN_ERRORS

MEDIA_TYPE = "application/problem+json"
ERRORS_PATH = "/errors"
_DETAIL_CHARS = 1000
_RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds to wait before the next attempt.",
        "schema": {"type": "integer", "minimum": 1},
    }
}
_RATE_LIMIT = {
    "RateLimit-Policy": {
        "description": "Limits that counted, by scope: `q` units in `w` seconds.",
        "schema": {"type": "string"},
    },
    "RateLimit": {
        "description": "By scope, units left (`r`) and seconds until there is one more (`t`).",
        "schema": {"type": "string"},
    },
}

ANY = (MalformedRequest, InvalidRequest, ServiceError)
"""What any request may meet."""
KEYLESS = (HostNotAllowed, OriginNotAllowed, Stopping)
"""What a scrape may meet."""
COMMON = (
    *(*ANY, HostNotAllowed, OriginNotAllowed, TooManyConnections, Stopping),
    *(Unauthorized, MissingScope, RateLimited, Overloaded),
)
"""What any request below `/v1/` may meet."""
BODY = (MalformedBody, BodyTooSlow, BodyTooLarge, UnsupportedMediaType)
"""What a request with a body may meet."""
STORE = (StoreUnavailable,)
"""What a request that reads the store may meet."""
WRITE = (StoreUnavailable, StoreFull, ModelChanged)
"""What a request that writes may meet."""
MEDIA = (UrlRefused, MediaNotFetched, MediaUnavailable)
"""What a profile with pictures or sounds by URL may meet."""
INDEX = (NotReady, NotYetVisible)
"""What a question may meet."""


def problem_of(error: ServiceError, request_id: str | None = None) -> dict[str, Any]:
    """The problem document of an error, short whatever the request was.

    Args:
        error: what went wrong.
        request_id: of the request; by default that of the one which is being answered.
    """
    body: dict[str, Any] = {
        "type": f"{ERRORS_PATH}#{error.code}",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": cut(error.detail, _DETAIL_CHARS),
    }
    if error.errors:
        body["errors"] = [
            {"detail": cut(e.detail, _DETAIL_CHARS)}
            | ({"parameter": e.parameter} if e.parameter else {"pointer": e.pointer})
            for e in error.errors[:SHOWN_ERRORS]
        ]
    if isinstance(error, NotYetVisible) and error.store_sequence is not None:
        body["store_sequence"] = error.store_sequence
    ids = current_ids()
    if request_id is None and ids is not None:
        request_id = ids.request_id
    if request_id is not None:
        body["request_id"] = request_id
    if ids is not None and ids.trace_id is not None and ids.request_id == request_id:
        body["trace_id"] = ids.trace_id
    return body


def headers_of(error: ServiceError) -> dict[str, str]:
    """The headers that go with an error."""
    if isinstance(error, Unavailable):
        return {"Retry-After": str(error.retry_after_s)}
    return {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}


async def send_problem(send: Send, error: ServiceError) -> None:
    """Answer a request with the problem document of an error, past the framework."""
    body = json.dumps(problem_of(error), ensure_ascii=False).encode()
    headers = {
        "Content-Type": MEDIA_TYPE,
        "Content-Length": str(len(body)),
        **headers_of(error),
    }
    lines = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": lines})
    await send({"type": "http.response.body", "body": body})


def cut(text: str, most: int) -> str:
    """The text, or its first `most` characters and an ellipsis."""
    return text if len(text) <= most else text[:most] + "…"


def example_of(kind: type[ServiceError]) -> dict[str, Any]:
    """A typical problem document of a kind of error."""
    return problem_of(kind(kind.example), "5e1c0f4ab7d34c0c9d2f7c1be0a51b7a")


def responses(
    *kinds: type[ServiceError], common: Sequence[type[ServiceError]] = COMMON
) -> dict[int | str, dict[str, Any]]:
    """The `responses` argument of a route that can answer with these errors and the common ones."""
    found: dict[int | str, dict[str, Any]] = {}
    by_status = sorted(dict.fromkeys((*common, *kinds)), key=lambda kind: kind.status)
    for status, group in itertools.groupby(by_status, key=lambda kind: kind.status):
        same = list(group)
        found[status] = {
            "description": "; ".join(kind.title for kind in same) + ".",
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "examples": {kind.code: {"value": example_of(kind)} for kind in same},
                }
            },
        }
        if any(issubclass(kind, Unavailable) for kind in same):
            found[status]["headers"] = _RETRY_AFTER | (_RATE_LIMIT if RateLimited in same else {})
    return found
