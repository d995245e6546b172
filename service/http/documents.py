"""Problem documents (RFC 9457): the body of every error, and its place in the OpenAPI document."""

import itertools
from typing import Annotated, Any

from pydantic import BaseModel, Field

from service.errors import (
    BodyTooLarge,
    BodyTooSlow,
    InvalidRequest,
    MalformedBody,
    MediaNotFetched,
    MediaUnavailable,
    ModelChanged,
    NotReady,
    NotYetVisible,
    Overloaded,
    ServiceError,
    StoreFull,
    StoreUnavailable,
    Unauthorized,
    Unavailable,
    UrlRefused,
)

MEDIA_TYPE = "application/problem+json"
ERRORS_PATH = "/errors"
SHOWN_ERRORS = 20
_DETAIL_CHARS = 1000

COMMON = (Unauthorized, InvalidRequest, Overloaded, ServiceError)
"""What any request below `/v1/` may meet."""
BODY = (MalformedBody, BodyTooSlow, BodyTooLarge)
"""What a request with a body may meet."""
STORE = (StoreUnavailable,)
"""What a request that reads the store may meet."""
WRITE = (StoreUnavailable, StoreFull, ModelChanged)
"""What a request that writes may meet."""
MEDIA = (UrlRefused, MediaNotFetched, MediaUnavailable)
"""What a profile with pictures or sounds by URL may meet."""
INDEX = (NotReady, NotYetVisible)
"""What a question may meet."""


class FieldProblem(BaseModel):
    """One wrong field, parameter or header; either `pointer` or `parameter` is there."""

    pointer: Annotated[
        str | None, Field(description="JSON pointer (RFC 6901) into the body.", examples=["/nmae"])
    ] = None
    parameter: Annotated[str | None, Field(description="Name of a parameter or a header.")] = None
    detail: Annotated[str, Field(description="What is wrong with it, and the remedy.")]


class Problem(BaseModel):
    """What went wrong, as problem details (RFC 9457)."""

    type: Annotated[str, Field(description="Where this service explains the code.")]
    title: Annotated[str, Field(description="The same text for every problem of this code.")]
    status: Annotated[int, Field(description="The HTTP status.")]
    code: Annotated[str, Field(description="A stable name for programs to decide by.")]
    detail: Annotated[str, Field(description="What went wrong this time, and the remedy.")]
    errors: Annotated[
        list[FieldProblem] | None, Field(description=f"The first {SHOWN_ERRORS} wrong fields.")
    ] = None
    request_id: Annotated[
        str | None, Field(description="Also the X-Request-Id header, and in the log.")
    ] = None


def problem_of(error: ServiceError, request_id: str | None = None) -> dict[str, Any]:
    """The problem document of an error, short whatever the request was."""
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
    if request_id:
        body["request_id"] = request_id
    return body


def cut(text: str, most: int) -> str:
    """The text, or its first `most` characters and an ellipsis."""
    return text if len(text) <= most else text[:most] + "…"


def example_of(kind: type[ServiceError]) -> dict[str, Any]:
    """A typical problem document of a kind of error."""
    return problem_of(kind(kind.example), "5e1c0f4ab7d34c0c9d2f7c1be0a51b7a")


def responses(*kinds: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    """The `responses` argument of a route that can answer with these errors, and `COMMON` ones."""
    found: dict[int | str, dict[str, Any]] = {}
    by_status = sorted(dict.fromkeys((*COMMON, *kinds)), key=lambda kind: kind.status)
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
            found[status]["headers"] = {
                "Retry-After": {
                    "description": "Seconds to wait before the next attempt.",
                    "schema": {"type": "integer", "minimum": 1},
                }
            }
    return found
