"""Dependencies of endpoints: the lifespan's services, limits, ids, and the check of parameters."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated, Any, TypeVar, cast

from fastapi import APIRouter, Depends, Path, Request
from fastapi.dependencies.models import Dependant
from starlette.convertors import StringConvertor, register_url_convertor

from model_export.contract.streamer import ID_PATTERN
from service.engine.work.lanes import Lanes
from service.errors import FieldError, InvalidRequest
from service.http.documents import cut
from service.http.schemas import SHOWN_ERRORS
from service.settings import Limits

Service = TypeVar("Service")


def service_named(name: str, kind: type[Service]) -> Callable[[Request], Awaitable[Service]]:
    """A dependency that finds one of the lifespan's services.

    Args:
        name: an attribute of `service.services.Services`.
        kind: its class, which the type checker needs.
    """

    async def find(request: Request) -> Service:
        return cast(Service, getattr(request.state.services, name))

    return find


CurrentLanes = Annotated[Lanes, Depends(service_named("lanes", Lanes))]
CurrentLimits = Annotated[Limits, Depends(service_named("limits", Limits))]


class _Name(StringConvertor):
    """A part of a path before the colon of an action: `{key_id:name}`.

    Without it `DELETE /keys/1:rotate` would delete, and not be 405.
    """

    regex = "[^/:]+"


register_url_convertor("name", _Name())


def streamer_id_path(example: str) -> Any:
    """A streamer's id in the path.

    Args:
        example: one with which the route's examples work on the demo's data.
    """
    return Path(
        pattern=ID_PATTERN,
        min_length=1,
        max_length=128,
        description="1 to 128 of A-Z a-z 0-9 . _ : - and not dots alone",
        openapi_examples={"demo": {"value": example}},
    )


StreamerIdPath = Annotated[str, streamer_id_path("w0087")]


async def check_parameters(request: Request) -> None:
    """Refuse query parameters that the route does not declare, or that come more than once.

    No route takes a list; of two values the framework would silently take the last.

    Raises:
        InvalidRequest: names them.
    """
    if not request.scope["query_string"]:
        return
    known = set(_parameters(request.scope["route"].dependant))
    given = Counter(name for name, _ in request.query_params.multi_items())
    unknown = [cut(name, 100) for name in given if name not in known]
    repeated = [name for name, count in given.items() if count > 1 and name in known]
    known_here = ", ".join(sorted(known)) or "none"
    for names, detail in (
        (
            unknown,
            f"is not a parameter here (known: {known_here}); remove it or check its spelling",
        ),
        (repeated, "came more than once; send it once"),
    ):
        if names:
            errors = [FieldError("", detail, parameter=name) for name in names[:SHOWN_ERRORS]]
            raise InvalidRequest(f"{', '.join(names[:3])}: {detail}", errors)


def _parameters(dependant: Dependant) -> Iterator[str]:
    """Names of the query parameters of a route and of its dependencies."""
    yield from (field.alias for field in dependant.query_params)
    for part in dependant.dependencies:
        yield from _parameters(part)


class CheckedRouter(APIRouter):
    """Routes that refuse parameters which they do not know.

    An application takes its `routes` as they are: including a router would make each anew, which
    is half of what a start takes.
    """

    def __init__(self, **options: Any) -> None:
        """Take the options of FastAPI's router."""
        super().__init__(dependencies=[Depends(check_parameters)], **options)


def check_at_most(value: int, limit: int, name: str, *, parameter: bool = False) -> None:
    """Refuse a number above its limit.

    Args:
        value: the number in the request.
        limit: the largest that the settings allow.
        name: the body's field, or the query parameter.
        parameter: whether it is a parameter.

    Raises:
        InvalidRequest: `value` is above `limit`.
    """
    if value > limit:
        detail = f"may be at most {limit}; it is {value}"
        if parameter:
            raise InvalidRequest.of_parameter(name, detail)
        raise InvalidRequest.of(f"/{name}", detail)
