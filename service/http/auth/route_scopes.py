"""The scope that each route needs: declared beside the route, found before anything is routed."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from fastapi import Security
from fastapi.params import Security as SecurityParameter
from fastapi.routing import iter_route_contexts
from fastapi.security import HTTPBearer
from starlette.routing import BaseRoute

from service.http.admission import PROBES
from service.http.documents import ERRORS_PATH
from service.scopes import SCOPES, Scope

CONSOLE = "/console"
"""Path of the web console; below it are its files."""
_DOCUMENTATION = frozenset({"/openapi.json", "/docs", "/docs/known-ids.js", ERRORS_PATH})
_PUBLIC = PROBES | _DOCUMENTATION | {"/metrics", CONSOLE}
_PUBLIC_FILES = ("/static-offline-docs/", f"{CONSOLE}/")
_bearer = HTTPBearer(auto_error=False, description="An API key with the scopes that are named.")


def requires(scope: Scope) -> Any:
    """A route's declaration of the scope that it needs, for its `dependencies`.

    The request guard asks for it, and the OpenAPI document tells it.
    """
    return Security(_bearer, scopes=[scope])


class OrOneOf:
    """A route's declaration of scopes with which a caller comes as far as its endpoint.

    It is for routes of which the endpoint decides, by what is asked for, who may ask; a dependency,
    beside that of `requires`.
    """

    def __init__(self, scopes: Iterable[Scope]) -> None:
        """With one of these."""
        self.scopes = frozenset(scopes)

    async def __call__(self) -> None:
        """Nothing is left to be done when the endpoint is called."""


def is_public(path: str) -> bool:
    """Whether a path needs no key: probes, metrics, documentation and the console's files."""
    return path in _PUBLIC or path.startswith(_PUBLIC_FILES)


class RouteScope(NamedTuple):
    """The route of a request.

    Attributes:
        scope: that a caller needs.
        template: of its path, such as `/v1/streamers/{streamer_id}`.
        ids: what the path has in the template's places.
        others: the endpoint lets some requests of callers through who have one of these instead.
    """

    scope: Scope
    template: str
    ids: tuple[str, ...]
    others: frozenset[Scope] = frozenset()


class _Route(NamedTuple):
    """What is declared beside a route."""

    pattern: re.Pattern[str]
    methods: frozenset[str]
    scope: Scope
    template: str
    others: frozenset[Scope]


class RouteScopes:
    """The scope that each route needs, found by method and path before anything is routed."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        """Read the declarations.

        Args:
            routes: of the application, in the order in which it tries them.

        Raises:
            ValueError: a route is not public and does not declare exactly one scope.
        """
        self._by_beginning: dict[str, list[_Route]] = {}
        for route in iter_route_contexts(list(routes)):
            path = route.path_format or route.path or ""
            if is_public(path):
                continue
            declared = [
                scope
                for part in getattr(route, "dependencies", ())
                if isinstance(part, SecurityParameter)
                for scope in part.scopes or ()
            ]
            beginning = _beginning_of(path)
            if len(declared) != 1 or declared[0] not in SCOPES or "{" in beginning:
                raise ValueError(f"{path} must declare one scope by `requires`: {declared}")
            others = [
                part.dependency.scopes
                for part in getattr(route, "dependencies", ())
                if isinstance(part.dependency, OrOneOf)
            ]
            known = _Route(
                route.path_regex,
                frozenset(route.methods or ()),
                declared[0],
                path,
                frozenset[Scope]().union(*others),
            )
            self._by_beginning.setdefault(beginning, []).append(known)

    def find(self, method: str, path: str) -> Scope | None:
        """The scope that a request needs; None where no route answers it."""
        found = self.route_of(method, path)
        return None if found is None else found.scope

    def route_of(self, method: str, path: str) -> RouteScope | None:
        """The route that answers a request; None where there is none."""
        for route in self._by_beginning.get(_beginning_of(path), ()):
            if method in route.methods and (match := route.pattern.match(path)):
                return RouteScope(route.scope, route.template, match.groups(), route.others)
        return None


def _beginning_of(path: str) -> str:
    """A path up to its second part: `/v1/streamers` of `/v1/streamers/s-1/similar`."""
    return "/".join(path.split("/", 3)[:3])
