"""API keys as the store holds them: never the key itself, only its SHA-256."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import NamedTuple, Protocol, Self

from pydantic import TypeAdapter

from service.store.once import Once

READ_AT_ONCE = 200
"""Records that are read without giving others a turn: some milliseconds."""


@dataclass(frozen=True)
class KeyRecord:
    """An API key.

    Attributes:
        key_id: 12 hex digits, which the key shows too.
        name: for people.
        role: of `service.scopes.ROLES`; None for a key with scopes of its own.
        scopes: its own scopes; empty with a role.
        created_at: seconds since 1970, like all times here.
        expires_at: from then on it is refused; None = never.
        digest: SHA-256 hex of the whole key.
        previous_digest: of the key before the last rotation.
        previous_until: from then on that one is refused.
        limits: rate limits that are not those of the settings, in units by scope; 0 = none.
    """

    key_id: str
    name: str
    role: str | None
    scopes: tuple[str, ...]
    created_at: float
    expires_at: float | None
    digest: str
    previous_digest: str | None = None
    previous_until: float | None = None
    limits: dict[str, int] = field(default_factory=dict[str, int])

    @classmethod
    def of_json(cls, text: bytes) -> Self:
        """Read a stored record; fields of later releases are ignored.

        Raises:
            ValueError: it can't be read.
        """
        return _RECORD.validate_json(text)  # type: ignore[return-value]

    def to_json(self) -> bytes:
        """The record as it is stored."""
        return json.dumps(asdict(self), ensure_ascii=False).encode()


_RECORD = TypeAdapter(KeyRecord)


class Look(NamedTuple):
    """What tells whether keys have changed, or expired.

    Attributes:
        mark: another text after each change; empty as long as there has never been a key.
        at: the store's time, in seconds since 1970, which is that of all who share it.
    """

    mark: str
    at: float


class KeyChanges(NamedTuple):
    """What has changed since a mark.

    Attributes:
        mark: from then on.
        records: as they are stored by now, by key id; empty = revoked.
    """

    mark: str
    records: dict[str, bytes]


class KeyStore(Protocol):
    """Where keys are kept. All methods raise StoreUnavailable when it does not answer."""

    async def look(self) -> Look:
        """Whether keys have changed, and the time."""
        ...

    async def all(self) -> dict[str, bytes]:
        """Every record as it is stored, by key id."""
        ...

    async def since(self, mark: str) -> KeyChanges | None:
        """What has changed since the store had a mark; None where that is too long ago."""
        ...

    async def get(self, key_id: str) -> bytes:
        """A record as it is stored; empty if there is none."""
        ...

    async def made(self, once: Once) -> str:
        """The id of the key that an earlier request with this name made or rotated; empty: none.

        Raises:
            IdempotencyKeyReused: it was another request.
        """
        ...

    async def replace(
        self, key_id: str, before: bytes, after: bytes, mark: str = "", once: Once | None = None
    ) -> bool:
        """Write a record if the stored one is still `before`; on disk when this returns.

        Args:
            key_id: whose record.
            before: what is stored; empty = nothing.
            after: what is stored then; empty = nothing.
            mark: no key may have changed since the store had it; empty = any may.
            once: names the request, which `made` knows from then on, for a day.

        Returns:
            False if something else is stored by now, or the request was carried out before;
            nothing was changed.

        Raises:
            StoreFull: nothing was changed, since disk or memory is full.
        """
        ...

    async def note_used(self, times: Mapping[str, float]) -> None:
        """Record when keys were used; an earlier time than is known changes nothing."""
        ...

    async def last_used(self, key_ids: Sequence[str]) -> list[float | None]:
        """When keys were used last; None = not yet."""
        ...
