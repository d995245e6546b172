"""What endpoints get handed: the services that the lifespan yielded, limits, ids."""

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar, cast

from fastapi import Depends, Path, Request, Security
from fastapi.security import HTTPBearer

from model_export.contract.streamer import ID_PATTERN
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


CurrentLimits = Annotated[Limits, Depends(service_named("limits", Limits))]

# The request guard checks the key before the body is read; this tells the OpenAPI document of it.
documented_key = Security(HTTPBearer(auto_error=False, description="The service's API key."))

StreamerIdPath = Annotated[str, Path(pattern=ID_PATTERN, min_length=1, max_length=128)]
