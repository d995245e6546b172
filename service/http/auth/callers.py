"""Callers, and the protocol of the key ring that knows them."""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Protocol

from fastapi import Depends, Request

from service.errors import MissingScope, Unauthorized
from service.scopes import SCOPES, Scope, roles_with


@dataclass(frozen=True)
class Caller:
    """Who makes a request; `caller` in the ASGI scope of each request that needs a key.

    Attributes:
        key_id: of the API key.
        name: of the key, for people.
        scopes: what the key may be used for.
        limits: units that it may spend in the time of the settings, by scope, where these are not
            those of the settings; 0 = no limit.
    """

    key_id: str
    name: str
    scopes: frozenset[str]
    limits: Mapping[str, int] = field(default_factory=dict[str, int], hash=False)

    @property
    def key(self) -> tuple[str, str]:
        """Id and name of the key, as records have them."""
        return self.key_id, self.name

    def require(self, scope: Scope, *others: Scope) -> None:
        """Refuse what the caller may not.

        Raises:
            MissingScope: the key lacks the scope, and each of the others that do as well.
        """
        if self.scopes.isdisjoint((scope, *others)):
            raise MissingScope(
                f"this needs the scope {scope!r}, and the key {self.key_id} has "
                f"{', '.join(sorted(self.scopes)) or 'none'}; ask an admin for "
                f"a key with it, such as one of the role {roles_with(scope)}"
            )


KEYLESS = Caller("keyless", "anyone on this machine", frozenset(SCOPES))
"""Who asks a service that has no API key."""


class KeyRing(Protocol):
    """The API keys, in memory: no method asks a store."""

    @property
    def is_open(self) -> bool:
        """Whether there is no key at all, so that everybody on this machine may ask."""
        ...

    def caller_of(self, key: str) -> Caller:
        """Who has a key.

        Raises:
            Unauthorized: nobody, or not any more.
        """
        ...


def caller_by(keys: KeyRing, authorization: str) -> Caller:
    """Who has the key in a header `Authorization`.

    Raises:
        Unauthorized: nobody, or not any more.
    """
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise Unauthorized(Unauthorized.example)
    return keys.caller_of(key)


def still_allowed(request: Request, scopes: Iterable[Scope]) -> Callable[[], None]:
    """A check that the caller of a request still has a key with these scopes.

    The check raises `Unauthorized` or `MissingScope`.
    """

    def check() -> None:
        keys: KeyRing = request.state.services.key_ring
        if not keys.is_open:
            caller = caller_by(keys, request.headers.get("authorization", ""))
            for scope in scopes:
                caller.require(scope)

    return check


async def parts_while(allowed: Callable[[], None], request: Request) -> AsyncGenerator[bytes]:
    """The parts of a body, each checked when it has come: an upload may outlive its key."""
    async for part in request.stream():
        allowed()
        yield part


async def current_caller(request: Request) -> Caller:
    """Who asks, as the request guard found out."""
    caller = request.scope["caller"]
    assert isinstance(caller, Caller)
    return caller


CurrentCaller = Annotated[Caller, Depends(current_caller)]
