"""Rate limits by API key and scope: the protocol of what counts, and what one request costs.

A request pays one unit of its route's scope before anything of its body is read, and the rest of
its cost once the body is known to be valid. Whoever has a unit left is let in; what a request costs
beyond what is left is owed, and paid back by the time that passes. So a question may cost more than
a limit allows at once, and no caller that waits is refused for ever.

Header fields: draft-ietf-httpapi-ratelimit-headers-10.
"""

from collections.abc import Mapping
from typing import Annotated, Protocol

from fastapi import Depends, Request
from starlette.types import Scope as AsgiScope

from service.http.auth.callers import KEYLESS, Caller
from service.scopes import Scope

PROFILE_UNITS = 5
"""A profile that is encoded for an answer."""
ALL_UNITS = 100
"""An export, the first page of a paged answer, a bulk write."""
_HITS_PER_UNIT = 100
_SEEDS_PER_UNIT = 10


class Account(Protocol):
    """What a key has left of a scope's limit."""

    def take(self, units: int, paid: int) -> None:
        """Take units from what is left.

        Args:
            units: to take, also if there are fewer.
            paid: what the same request took before; 0 = it is not let in yet.

        Raises:
            RateLimited: nothing is left; nothing was taken.
        """
        ...

    def items(self) -> tuple[bytes, bytes]:
        """An item of `RateLimit-Policy`, and one of `RateLimit`."""
        ...


class RateLimits(Protocol):
    """The rate limits of all keys, in memory: no method asks a store."""

    @property
    def refused(self) -> Mapping[Scope, int]:
        """How many requests were refused, by scope."""
        ...

    def account(self, caller: Caller, scope: Scope) -> Account | None:
        """What a caller has left of a scope's limit now; None without a limit."""
        ...


class Charges:
    """What a request has cost so far; `charges` in the ASGI scope of one with a key."""

    __slots__ = ("_accounts", "_caller", "_limits", "_paid")

    def __init__(self, limits: RateLimits | None, caller: Caller) -> None:
        """Charge nothing yet; without limits, never."""
        self._limits = limits
        self._caller = caller
        self._paid: dict[Scope, int] = {}
        self._accounts: dict[Scope, Account] = {}

    def reach(self, scope: Scope, units: int) -> None:
        """Charge what is missing to a cost, which may be told more than once.

        Raises:
            RateLimited: nothing is left of the scope's limit.
        """
        paid = self._paid.get(scope, 0)
        if self._limits is None or units <= paid:
            return
        account = self._limits.account(self._caller, scope)
        if account is not None:
            self._accounts[scope] = account
            account.take(units - paid, paid)
        self._paid[scope] = units

    def anew(self) -> "Charges":
        """Charges of what is like another request of the caller, such as the next part of a stream.

        Unlike a request that was let in, it is refused where nothing is left.
        """
        return Charges(self._limits, self._caller)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """`RateLimit-Policy` and `RateLimit`, of the limits that counted."""
        if not self._accounts:
            return []
        items = [account.items() for account in self._accounts.values()]
        if len(items) == 1:
            ((policy, left),) = items
        else:
            policy, left = (b", ".join(parts) for parts in zip(*items, strict=True))
        return [(b"ratelimit-policy", policy), (b"ratelimit", left)]


_FREE = Charges(None, KEYLESS)
"""Of a service without keys, whose callers are on its machine."""


def charges_in(scope: AsgiScope) -> Charges:
    """What the request of an ASGI scope has cost."""
    return scope.get("charges", _FREE)


async def current_charges(request: Request) -> Charges:
    """What this request has cost."""
    return charges_in(request.scope)


CurrentCharges = Annotated[Charges, Depends(current_charges)]


def hits_units(most: int) -> int:
    """Units of an answer with up to `most` hits or lines."""
    return 1 + (most - 1) // _HITS_PER_UNIT


def inputs_units(count: int, profiles: int) -> int:
    """Units, beside those of the answer, of seeds or items, some of which are profiles."""
    return (count - 1) // _SEEDS_PER_UNIT + profiles * PROFILE_UNITS
