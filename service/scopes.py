"""Scopes of API keys, and the roles that bundle them; no scope contains another."""

from typing import Literal, cast, get_args

LimitedScope = Literal[
    "streamers:read",
    "streamers:write",
    "search",
    "explain",
    "coldstart",
    "spaces:write",
    "duplicates",
    "cases",
    "embeddings:read",
]
"""Scopes with a rate limit. `admin` has none: whoever has it must be able to revoke a key at any
time, and could make another one anyway."""
Scope = Literal[LimitedScope, "admin"]
Role = Literal["operations", "recommender", "antifraud", "admin"]
LIMITED_SCOPES: frozenset[LimitedScope] = frozenset(get_args(LimitedScope))
SCOPES: frozenset[Scope] = frozenset(get_args(Scope))
ROLES: dict[Role, frozenset[Scope]] = {
    "operations": frozenset(
        {"streamers:read", "streamers:write", "search", "explain", "duplicates"}
    ),
    "recommender": frozenset(
        {"streamers:read", "search", "coldstart", "spaces:write", "duplicates", "embeddings:read"}
    ),
    "antifraud": frozenset({"streamers:read", "search", "explain", "duplicates", "cases"}),
    "admin": SCOPES,
}
"""A key keeps its role by name, so that it has the scopes that a later release adds to the role."""


def roles_with(scope: Scope) -> str:
    """The roles that have a scope, for a message, the one with the fewest scopes first."""
    return " or ".join(
        repr(role)
        for role in sorted(ROLES, key=lambda role: len(ROLES[role]))
        if scope in ROLES[role]
    )


def scopes_of(role: str | None, scopes: tuple[str, ...]) -> frozenset[str]:
    """The scopes of a key; of a role that this release does not know, none."""
    return frozenset(scopes) if role is None else ROLES.get(cast(Role, role), frozenset[str]())
