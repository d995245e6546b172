"""Requests and responses of `/v1/keys`."""

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from service.http.schemas import Request, Response, ShowsSomething, with_nulls
from service.maxima import MOST_UNITS
from service.scopes import ROLES, SCOPES, LimitedScope, Role, Scope

MOST_GRACE_S = 30 * 86_400
EXAMPLE_ID = "3f9c1a2b7d04"
_ISSUED: dict[str, Any] = {
    "key_id": EXAMPLE_ID,
    "name": "console of operations",
    "role": "operations",
    "scopes": sorted(ROLES["operations"]),
    "created_at": "2029-01-31T00:00:00Z",
    "expires_at": "2030-01-31T00:00:00Z",
    "previous_until": "2029-02-01T00:00:00Z",
    "limits": {"search": 600},
}
_LISTED = _ISSUED | {"last_used_at": "2029-01-31T12:00:00Z"}


def _is_text(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("must be a time such as 2030-01-31T00:00:00Z")
    return value


def _is_printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("may have printable characters only, in one line")
    return value


def _of_seconds(value: float) -> datetime:
    return datetime.fromtimestamp(value, UTC)


ExpiresAt = Annotated[
    Annotated[AwareDatetime, Field(lt=datetime(3000, 1, 1, tzinfo=UTC))], BeforeValidator(_is_text)
]
Time = Annotated[datetime, BeforeValidator(_of_seconds)]
"""Seconds since 1970, as RFC 3339."""


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(_is_printable),
    ShowsSomething,
    Field(description="For people: who uses it, and what for."),
]
OwnRole = Annotated[
    Role | None,
    Field(description="The scopes that a team needs, also those of later releases."),
]
OwnScopes = Annotated[list[Scope] | None, Field(min_length=1, max_length=100)]
Units = Annotated[int, Field(ge=0, le=MOST_UNITS)]


class KeyIn(Request):
    """A new key: a name, and exactly one of role and scopes."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"name": "admin of the platform", "role": "admin"},
                {
                    "name": "console of operations",
                    "scopes": ["streamers:read", "search"],
                    "expires_at": "2030-01-31T00:00:00Z",
                    "limits": {"search": 6000},
                },
            ]
        }
    )

    name: Name
    role: OwnRole = None
    scopes: OwnScopes = None
    expires_at: Annotated[
        ExpiresAt | None,
        Field(description="From then on the key is refused; null: it lasts until it is revoked."),
    ] = None
    limits: Annotated[
        dict[LimitedScope, Units] | None,
        Field(
            max_length=len(SCOPES),
            description="Rate limits of this key, by scope, in units per "
            "STREAMER_RATE_LIMITS__WINDOW_S, in place of those of the settings; 0: no limit.",
        ),
    ] = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.role is None) == (self.scopes is None):
            raise ValueError("needs exactly one of: role, scopes")
        return self


class KeyChangesIn(Request):
    """What is to be changed of a key (JSON merge patch): what is not named stays as it was."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"limits": {"search": 6000, "explain": None}},
                {"name": "console of operations", "role": "operations", "expires_at": None},
            ]
        }
    )

    name: Annotated[Name | None, Field(description="For people; it cannot be removed.")] = None
    role: Annotated[OwnRole, Field(description="Its scopes replace those that the key had.")] = None
    scopes: Annotated[OwnScopes, Field(description="They replace those that the key had.")] = None
    expires_at: Annotated[
        ExpiresAt | None, Field(description="Null: it lasts until it is revoked.")
    ] = None
    limits: Annotated[
        dict[LimitedScope, Units | None] | None,
        Field(
            max_length=len(SCOPES),
            description="By scope; null: the limit of the settings, of one scope or of all.",
        ),
    ] = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        given = self.model_fields_set
        if not given:
            raise ValueError("names no change; give name, role, scopes, expires_at or limits")
        if "name" in given and self.name is None:
            raise ValueError("name: cannot be removed; give another one")
        if self.role is not None and self.scopes is not None:
            raise ValueError("may have one of: role, scopes")
        if given & {"role", "scopes"} and self.role is None and self.scopes is None:
            raise ValueError("a key needs a role or scopes; give the other one")
        return self


class RotateIn(Request):
    """How long the text before can still be used."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"grace_s": 3600}]})

    grace_s: Annotated[
        float,
        Field(
            ge=0,
            le=MOST_GRACE_S,
            allow_inf_nan=False,
            description="Seconds; 0: it ends at once. What was rotated out before it ends at once.",
        ),
    ] = 86_400
    expires_at: Annotated[
        ExpiresAt | None, Field(description="Of the key from now on; null: as it was.")
    ] = None


class KeyOut(Response):
    """A key, without its text, which is not stored."""

    model_config = ConfigDict(json_schema_extra={"examples": [_LISTED]})

    key_id: str
    name: str
    role: str | None
    scopes: Annotated[list[str], Field(description="Its own, or at present those of its role.")]
    limits: Annotated[
        dict[str, int], Field(description="Rate limits of its own, by scope; see POST /v1/keys.")
    ]
    created_at: Time
    expires_at: Time | None
    previous_until: Annotated[
        Time | None,
        Field(description="Until then the text before the last rotation can be used."),
    ]
    last_used_at: Annotated[
        Time | None, Field(description="Noted every ten seconds or so; null: not yet.")
    ]


class IssuedKeyOut(Response):
    """A key and its text, which is shown this once."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [_ISSUED | {"key": f"ssk_{EXAMPLE_ID}_{'0' * 72}"}]}
    )

    key_id: str
    key: Annotated[str, Field(description="Send it as `Authorization: Bearer <key>`.")]
    name: str
    role: str | None
    scopes: list[str]
    limits: dict[str, int]
    created_at: Time
    expires_at: Time | None
    previous_until: Time | None


class KeyPage(Response):
    """Keys in the order of their ids."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [with_nulls({"keys": [_LISTED], "next_cursor": None})]}
    )

    keys: list[KeyOut]
    next_cursor: Annotated[str | None, Field(description="Null on the last page.")]


class RevokedOut(Response):
    """The key is refused from now on, by other replicas within a second."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"key_id": EXAMPLE_ID}]})

    key_id: str
