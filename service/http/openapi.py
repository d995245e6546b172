"""What the OpenAPI document says of all routes: tags by team, and the headers of every answer."""

import asyncio
import functools
import json
from typing import Any, cast

from fastapi import FastAPI, Request, Response

from service.http.documentation.links import add_links
from service.http.schemas import NULL

ALL_TEAMS = "all teams"
OPERATIONS = "operations"
RECOMMENDER = "recommender"
ANTI_FRAUD = "anti-fraud"
RUNNING_IT = "running it"
TAGS: list[dict[str, Any]] = [
    {"name": ALL_TEAMS, "description": "Streamers: written, read, changed, deleted."},
    {"name": OPERATIONS, "description": "Lists for campaigns: streamers similar to others."},
    {"name": RECOMMENDER, "description": "Newcomers, and feeds without near-duplicates."},
    {"name": ANTI_FRAUD, "description": "Copied accounts."},
    {
        "name": RUNNING_IT,
        "description": "Imports and exports, keys, audit, probes, metrics, and the index to "
        "compare with the store.",
    },
]
"""Of whose work a route is part; each route has one of these or more."""
DESCRIPTION = """\
Every error is a problem document (RFC 9457); its `type` links to an explanation. Unknown fields,
unknown parameters and repeated ones are refused by name.

Every answer has an `X-Request-Id`: that of the request, or a new one. The trace id of a
`traceparent` (W3C Trace Context) is in problem documents and in the log.

The examples are of the demo's streamers (`make demo`): each can be sent as it stands. An id that
the service draws has no example but a link, from the list that has it; the page at `/docs` follows
these links."""
_REQUEST_ID = "X-Request-Id"


def install(app: FastAPI) -> None:
    """Complete the document that the framework makes, and write it once, beside the event loop.

    The framework would write its 300 KB anew for each request, which needs no key.
    """
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        made = _nulls_of(make())
        _add_request_id(made)
        add_links(made)
        app.openapi_schema = made
        return made

    app.openapi = openapi

    @functools.cache
    def written() -> bytes:
        return json.dumps(openapi(), ensure_ascii=False, separators=(",", ":")).encode()

    async def get_document(_: Request) -> Response:
        return Response(await asyncio.to_thread(written), media_type="application/json")

    assert app.openapi_url is not None
    routes = app.router.routes
    routes[:] = [route for route in routes if getattr(route, "path", "") != app.openapi_url]
    app.add_route(app.openapi_url, get_document, include_in_schema=False)


def _nulls_of(part: Any) -> Any:
    """A part of the document with null where an example has `NULL`."""
    if isinstance(part, dict):
        return {name: _nulls_of(value) for name, value in cast(dict[str, Any], part).items()}
    if isinstance(part, list):
        return [_nulls_of(value) for value in cast(list[Any], part)]
    return None if part == NULL else part


def _add_request_id(document: dict[str, Any]) -> None:
    document["components"]["headers"] = {
        _REQUEST_ID: {
            "description": "Names the request; also in the log. Send your own to choose it.",
            "required": True,
            "schema": {"type": "string"},
        }
    }
    for operations in document["paths"].values():
        for operation in operations.values():
            for answer in operation["responses"].values():
                answer.setdefault("headers", {})[_REQUEST_ID] = {
                    "$ref": f"#/components/headers/{_REQUEST_ID}"
                }
