"""JSON bodies in UTF-8; large ones are read and written in a thread, nobody else waits."""

import json
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

from service.engine.work.lanes import Lane, Lanes
from service.engine.work.large_json import LARGE_BYTES, TooManyFields, loads
from service.errors import InvalidRequest, MalformedBody, ServiceError
from service.http.problems import invalid_parts
from service.http.request_guard import BodyRefused
from service.settings import Limits

Text = TypeVar("Text", str, bytes)

MOST_INLINE = 50
"""Items of an answer that is written on the event loop, in 10 ms at most."""


def _value_of(body: bytes, parse: Callable[[str], Any]) -> Any:
    """A JSON value; a byte order mark before it is ignored (RFC 8259, section 8.1).

    Raises:
        InvalidRequest: an object has too many fields.
        MalformedBody: it can't be read.
    """
    try:
        return parse(body.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        reason = f"not JSON: {error.msg} at line {error.lineno} column {error.colno}"
    except UnicodeDecodeError as error:
        reason = f"not UTF-8: {error.reason} at byte {error.start}; send JSON in UTF-8"
    except RecursionError:
        reason = "nested too deeply"
    except TooManyFields as error:
        raise InvalidRequest(f"{error}: remove those that are not known") from None
    except ValueError:  # of `int`
        reason = f"a whole number has more than {sys.get_int_max_str_digits()} digits"
    raise MalformedBody(reason)


def loads_bounded(body: bytes, most_values: int) -> Any:
    """A JSON value; while a large one is read in a thread, others run.

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
    return _value_of(body, json.loads if len(body) < LARGE_BYTES else loads)


async def written(make: Callable[[], Text], items: int, lanes: Lanes) -> Text:
    """A text of so many items, such as rows of a page; of many it is made in a thread.

    Raises:
        Overloaded: too much work waits already.
    """
    return make() if items <= MOST_INLINE else await lanes.run(make, Lane.HEAVY)


async def json_answer(make: Callable[[], BaseModel], items: int, lanes: Lanes) -> Response:
    """An answer of so many items, see `written`."""
    text = await written(lambda: make().model_dump_json(), items, lanes)
    return Response(text, media_type="application/json")


class JsonRoute(APIRoute):
    """A route whose body is JSON in UTF-8, which the framework would read as UTF-16 as well."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The framework's handler, given a request that reads JSON as this service does."""
        handle, field = super().get_route_handler(), self.body_field
        if field is None:
            return handle

        def validated(body: bytes, most_values: int) -> Any:
            """The body, or the error; a traceback would keep the body in memory."""
            try:
                value = loads_bounded(body, most_values)
            except ServiceError as error:
                return error.with_traceback(None)
            value, errors = field.validate(value, loc=("body",))
            return invalid_parts(errors) if errors else value

        class JsonRequest(Request):
            async def json(self) -> Any:
                """The body; a large one is validated already, and what it is made of is final."""
                body = await self.body()
                try:
                    if len(body) < LARGE_BYTES:
                        return _value_of(body, json.loads)
                    lanes = cast(Lanes, self.state.services.lanes)
                    most = cast(Limits, self.state.services.limits).body_values
                    found = await lanes.run(lambda: validated(body, most), Lane.HEAVY)
                except ServiceError as error:
                    raise BodyRefused(error) from error
                if isinstance(found, ServiceError):
                    raise BodyRefused(found)
                return found

        async def answer(request: Request) -> Response:
            return await handle(JsonRequest(request.scope, request.receive))

        return answer
