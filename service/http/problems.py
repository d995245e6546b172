"""Reading of JSON bodies, and exception handlers: every error becomes a problem document."""

import json
import logging
import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.responses import Response
from fastapi.routing import iter_route_contexts
from pydantic import ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError
from starlette.exceptions import HTTPException

from model_export.contract.streamer import ID_PATTERN, URL_PATTERN
from service.errors import (
    BodyTooLarge,
    BodyTooSlow,
    FieldError,
    InvalidRequest,
    MalformedBody,
    MethodNotAllowed,
    NoSuchPath,
    ServiceError,
    Stopping,
)
from service.http.documents import MEDIA_TYPE, cut, headers_of, problem_of
from service.http.request_guard import BodyRefused
from service.http.schemas import SHOWN_ERRORS

_log = logging.getLogger(__name__)
_OF_THE_FRAMEWORK = (
    MalformedBody,
    NoSuchPath,
    MethodNotAllowed,
    BodyTooSlow,
    BodyTooLarge,
    Stopping,
)
_MOST_ERRORS = 1000
"""Pydantic makes objects of all errors, in one call that nothing interrupts."""
_NAME_CHARS = 100
_SUBJECT = re.compile(r"^\w+ should ")
_OBJECT = "must be a JSON object"
_DETAILS = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": _OBJECT,
    "extra_forbidden": "is not a known field; remove it or check its spelling",
    "list_type": "must be a JSON array",
    "missing": "is missing; it is required",
    "model_attributes_type": _OBJECT,
    "model_type": _OBJECT,
}
"""What to say for a type of Pydantic's errors, in place of its own words."""
_LENGTHS = frozenset({"too_long", "too_short"})
_WHOLE = frozenset({"dict_type", "missing", "model_attributes_type", "model_type"})
"""Types of errors of a body that is missing, or no object."""
_PATTERNS = {
    ID_PATTERN: "may have A-Z a-z 0-9 . _ : - only, and not dots alone",
    "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$": "must be 1 to 64 of A-Z a-z 0-9 . _ - that begin with a "
    "letter or digit",
    URL_PATTERN: "must be an address that begins with https:// and has no spaces",
}
"""What to say of a field that does not match such a pattern."""
_HEX_ID = re.compile(r"\^([a-z]+-)?\[0-9a-f\]\{(\d+)\}\$")
"""Patterns of ids that this service makes, with a prefix or without."""


def _few_errors(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    try:
        return check(value)
    except ValidationError as error:
        count = error.error_count()
        if count <= _MOST_ERRORS:
            raise
        raise PydanticCustomError(
            "too_many_errors", "has {count} errors, too many to list", {"count": count}
        ) from None


Body = TypeVar("Body")
Checked = Annotated[Body, WrapValidator(_few_errors)]
"""A body whose errors take little memory, however many they are."""


def invalid(error: ValidationError) -> InvalidRequest | MalformedBody:
    """The error for JSON or an object that does not fit its schema."""
    count = error.error_count()
    if count > _MOST_ERRORS:
        return InvalidRequest(f"the body has {count} errors, too many to list")
    return _invalid(error.errors(include_url=False, include_input=False), _of_a_field)


def invalid_parts(found: Sequence[Any]) -> InvalidRequest | MalformedBody:
    """The error for what the framework lists of a request: places begin with where they are."""
    return _invalid(found, _of_a_request)


def _invalid(
    found: Sequence[Any], named: Callable[[dict[str, Any]], FieldError]
) -> InvalidRequest | MalformedBody:
    """The error for what pydantic lists, the first twenty by name."""
    if found[0]["type"] == "json_invalid":
        reason = found[0].get("ctx", {}).get("error", found[0]["msg"])
        return MalformedBody(f"not JSON: {reason}")
    errors = [named(error) for error in found[:SHOWN_ERRORS]]
    return InvalidRequest(_summary(errors, len(found)), errors)


def _of_a_request(error: dict[str, Any]) -> FieldError:
    """An error by the name of a parameter, or by JSON pointer into the body."""
    where, *place = error["loc"]
    if where != "body":
        names = (cut(str(part), _NAME_CHARS) for part in place)
        return FieldError("", _detail(error), parameter=".".join(names))
    found = _of_a_field({**error, "loc": place})
    if not place and error["type"] in _WHOLE:
        detail = f"{found.detail}, sent with Content-Type: application/json"
        return FieldError(found.pointer, detail)
    return found


def _of_a_field(error: dict[str, Any]) -> FieldError:
    """An error by JSON pointer, whatever the field is called."""
    place = [cut(str(part), _NAME_CHARS) for part in error["loc"]]
    pointer = "".join("/" + p.replace("~", "~0").replace("/", "~1") for p in place)
    return FieldError(pointer, _detail(error))


def _detail(error: dict[str, Any]) -> str:
    """Pydantic's message, in words that say what to do."""
    if error["type"] == "string_pattern_mismatch":
        pattern = error["ctx"]["pattern"]
        if made := _HEX_ID.fullmatch(pattern):
            prefix = f"{made[1]!r} and " if made[1] else ""
            return f"must be {prefix}{made[2]} hex digits, as this service gave it"
        return _PATTERNS.get(pattern, f"must match pattern '{pattern}'")
    detail = _SUBJECT.sub("must ", str(error["msg"]).removeprefix("Value error, "))
    if error["type"] in _LENGTHS:
        detail = detail.replace(" after validation", "")
    return _DETAILS.get(error["type"], detail)


def _summary(errors: Sequence[FieldError], count: int) -> str:
    """The first wrong fields in one line, and how many more there are."""
    shown = [f"{e.parameter or e.pointer or 'body'}: {e.detail}" for e in errors[:3]]
    more = f" (and {count - 3} more)" if count > 3 else ""
    return "; ".join(shown) + more


def error_of_http(error: HTTPException) -> ServiceError:
    """The error of the service for what the framework or the request guard refuses."""
    if isinstance(error, BodyRefused):
        return error.error
    if error.status_code == NoSuchPath.status:
        return NoSuchPath(NoSuchPath.example)
    kinds = (kind for kind in _OF_THE_FRAMEWORK if kind.status == error.status_code)
    return next(kinds, ServiceError)(str(error.detail))


def _respond(error: ServiceError, headers: Mapping[str, str] | None = None) -> Response:
    body = problem_of(error)
    return Response(
        json.dumps(body, ensure_ascii=False),
        status_code=error.status,
        media_type=MEDIA_TYPE,
        headers=headers_of(error) | dict(headers or {}),
    )


async def _on_service_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return _respond(error)


async def _on_validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _respond(invalid_parts(error.errors()))


async def _on_unfit_answer(_: Request, error: Exception) -> Response:
    """A defect; what both errors say for themselves shows streamers' texts, which no log has."""
    assert isinstance(error, ResponseValidationError | ValidationError)
    found = [f"{'.'.join(map(str, one['loc']))}: {one['type']}" for one in error.errors()]
    _log.error(
        "unexpected error: an answer does not fit its schema (%d errors): %s\n%s",
        len(found),
        "; ".join(found[:SHOWN_ERRORS]),
        "".join(traceback.format_tb(error.__traceback__)),
    )
    return _respond(ServiceError(ServiceError.example))


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code != MethodNotAllowed.status:
        return _respond(error_of_http(error))
    allowed = _methods(request)
    refused = MethodNotAllowed(f"this path takes {allowed}; it does not take {request.method}")
    return _respond(refused, {"Allow": allowed})


def _methods(request: Request) -> str:
    """Methods that the request's path has, on all of its routes."""
    found: set[str] = set()
    for context in iter_route_contexts(request.app.routes):
        if context.methods and context.path_regex.fullmatch(request.url.path):
            found |= context.methods
    return ", ".join(sorted(found))


def install(app: FastAPI) -> None:
    """Register the handlers."""
    app.add_exception_handler(ServiceError, _on_service_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(ResponseValidationError, _on_unfit_answer)
    app.add_exception_handler(ValidationError, _on_unfit_answer)
    app.add_exception_handler(HTTPException, _on_http_error)
