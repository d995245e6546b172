"""Problem documents (RFC 9457): the shape of every error on the wire."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from starlette.types import Send

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


async def send_problem(
    send: Send, document: dict[str, Any], headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Answer a request with a problem document."""
    body = json.dumps(document, ensure_ascii=False).encode()
    about = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        *headers,
    ]
    await send({"type": "http.response.start", "status": document["status"], "headers": about})
    await send({"type": "http.response.body", "body": body})
