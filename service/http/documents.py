"""Problem documents (RFC 9457): the shape of every error on the wire."""

from collections.abc import Sequence
from typing import Any

from service.errors import FieldError, ServiceError

MEDIA_TYPE = "application/problem+json"


def problem(
    status: int,
    code: str,
    title: str,
    detail: str,
    *,
    errors: Sequence[FieldError] = (),
    request_id: str | None = None,
) -> dict[str, Any]:
    """The members of a problem document."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail,
    }
    if errors:
        body["errors"] = [
            {"detail": e.detail}
            | ({"parameter": e.parameter} if e.parameter else {"pointer": e.pointer})
            for e in errors
        ]
    if request_id:
        body["request_id"] = request_id
    return body


def problem_of(error: ServiceError, request_id: str | None = None) -> dict[str, Any]:
    """The problem document of an error of the service."""
    return problem(
        error.status,
        error.code,
        error.title,
        error.detail,
        errors=error.errors,
        request_id=request_id,
    )
