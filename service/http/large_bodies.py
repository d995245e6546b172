"""Large bodies are parsed and validated in a thread; nobody else waits for it."""

from collections.abc import Callable, Coroutine
from json import JSONDecodeError
from typing import Any, cast

from fastapi import Request, Response
from fastapi.routing import APIRoute

from service.engine.work.lanes import Lane, Lanes
from service.engine.work.large_json import LARGE_BYTES, loads
from service.errors import InvalidRequest, MalformedBody, ServiceError
from service.http.problems import UNREADABLE, invalid_parts
from service.http.request_guard import BodyRefused
from service.settings import Limits


def loads_bounded(body: bytes, most_values: int) -> Any:
    """A JSON value; in a thread others run meanwhile.

    Args:
        body: JSON, UTF-8.
        most_values: it may have; commas are counted, which is quick.

    Raises:
        InvalidRequest: it has more, or one of its objects has too many.
        MalformedBody: it can't be read.
    """
    values = body.count(b",") + 1
    if values > most_values:
        raise InvalidRequest(
            f"the body has about {values} values, by its commas, and may have {most_values}: "
            "send fewer items or vectors at once"
        )
    try:
        return loads(body)
    except (UnicodeDecodeError, RecursionError):
        raise MalformedBody(UNREADABLE) from None
    except JSONDecodeError as error:
        raise MalformedBody(f"not JSON: {error.msg}") from None
    except ValueError as error:
        raise InvalidRequest(f"{error}: remove those that are not known") from None


class BodyRoute(APIRoute):
    """A route whose body may be large."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, with another way to the body."""
        handle = super().get_route_handler()
        field = self.body_field

        def validated(body: bytes, most_values: int) -> Any:
            value = loads_bounded(body, most_values)
            if field is None:
                return value
            value, errors = field.validate(value, loc=("body",))
            if errors:
                raise invalid_parts(errors)
            return value

        class ValidatingRequest(Request):
            async def json(self) -> Any:
                """The body; a large one is validated already, and what it is made of is final."""
                body = await self.body()
                if len(body) < LARGE_BYTES:
                    return await super().json()
                lanes = cast(Lanes, self.state.services.lanes)
                limits = cast(Limits, self.state.services.limits)
                try:
                    return await lanes.run(lambda: validated(body, limits.body_values), Lane.HEAVY)
                except ServiceError as error:
                    raise BodyRefused(error) from error

        async def answer(request: Request) -> Response:
            return await handle(ValidatingRequest(request.scope, request.receive))

        return answer
