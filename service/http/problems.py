"""Exception handlers: every error of a request becomes a problem document."""

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import iter_route_contexts
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from service.errors import FieldError, ServiceError, Unavailable
from service.http.documents import MEDIA_TYPE, problem, problem_of

_log = logging.getLogger(__name__)
_CODES = {
    404: "no_such_path",
    405: "method_not_allowed",
    408: "body_too_slow",
    413: "body_too_large",
    503: "stopping",
}


def problem_of_http(error: HTTPException) -> dict[str, Any]:
    """The problem document of what the framework or the gate refuses."""
    if error.status_code == 400:  # FastAPI's word for what its JSON parser can't take
        detail = "the body is not UTF-8 encoded JSON, or is nested too deeply"
        return problem(400, "malformed_body", "The body can't be read", detail)
    code = _CODES.get(error.status_code, "http_error")
    title = HTTPStatus(error.status_code).phrase
    return problem(error.status_code, code, title, str(error.detail))


def field_errors(errors: Sequence[Any], prefix: str = "") -> list[FieldError]:
    """Pydantic's errors, by JSON pointer or parameter name, in words that say what to do."""
    return [_field_error(error, prefix) for error in errors]


def _field_error(error: dict[str, Any], prefix: str) -> FieldError:
    place = [str(part) for part in error["loc"]]
    detail = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        detail = "is not a known field; remove it or check its spelling"
    elif error["type"] == "string_pattern_mismatch" and place[-1] == "streamer_id":
        detail = "may have letters, digits and . _ : - only, and not dots alone"
    elif place == ["body"] and error["type"] in ("dict_type", "model_attributes_type"):
        detail = "must be a JSON object, sent with Content-Type: application/json"
    if place and place[0] in ("query", "path", "header"):
        return FieldError("", detail, parameter=".".join(place[1:]))
    if place and place[0] == "body":
        place = place[1:]
    pointer = "".join("/" + p.replace("~", "~0").replace("/", "~1") for p in place)
    return FieldError(prefix + pointer, detail)


def summary(errors: Sequence[FieldError]) -> str:
    """All wrong fields in one line, the first few spelt out."""
    shown = [f"{e.parameter or e.pointer or 'body'}: {e.detail}" for e in errors[:3]]
    more = f" (and {len(errors) - 3} more)" if len(errors) > 3 else ""
    return "; ".join(shown) + more


def _respond(
    request: Request, body: dict[str, Any], headers: Mapping[str, str] | None = None
) -> Response:
    request_id = request.scope.get("request_id")
    if request_id:
        body["request_id"] = request_id
    return Response(
        json.dumps(body, ensure_ascii=False),
        status_code=body["status"],
        media_type=MEDIA_TYPE,
        headers=headers,
    )


async def _on_service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    is_passing = isinstance(error, Unavailable)
    headers = {"Retry-After": str(error.retry_after_s)} if is_passing else None
    return _respond(request, problem_of(error), headers)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError | ValidationError)
    found = error.errors()
    if found and found[0]["type"] == "json_invalid":
        reason = found[0].get("ctx", {}).get("error", found[0]["msg"])
        return _respond(
            request,
            problem(400, "malformed_body", "The body can't be read", f"not JSON: {reason}"),
        )
    errors = field_errors(found)
    return _respond(
        request,
        problem(422, "invalid_request", "The request is not valid", summary(errors), errors=errors),
    )


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = {"Allow": _methods(request)} if error.status_code == 405 else error.headers
    return _respond(request, problem_of_http(error), headers)


def _methods(request: Request) -> str:
    """Methods that the request's path has, on all of its routes."""
    found: set[str] = set()
    for context in iter_route_contexts(request.app.routes):
        if context.methods and context.path_regex.fullmatch(request.url.path):
            found |= context.methods
    return ", ".join(sorted(found))


async def _on_unexpected(request: Request, error: Exception) -> Response:
    _log.error("unexpected error", exc_info=error)
    return _respond(
        request, problem(500, "internal", "Internal error", "an unexpected error; see the log")
    )


def install(app: FastAPI) -> None:
    """Register the handlers."""
    app.add_exception_handler(ServiceError, _on_service_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(ValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_unexpected)
