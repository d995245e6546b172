"""Use cases of API keys: create, list, rotate, revoke."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NoReturn

from service.errors import (
    InvalidRequest,
    KeyNotFound,
    KeyTextNotKept,
    LastAdminKey,
    StoreUnavailable,
)
from service.features.keys.key_text import digest_of, new_id, new_key
from service.scopes import LimitedScope, scopes_of
from service.store.keys import READ_AT_ONCE, KeyRecord, KeyStore
from service.store.once import Once


@dataclass(frozen=True)
class Issued:
    """A key as it is shown once, and its record."""

    key: str
    record: KeyRecord


@dataclass(frozen=True)
class Listed:
    """A key as it is listed.

    Attributes:
        record: as stored.
        last_used_at: seconds since 1970; None = not yet.
    """

    record: KeyRecord
    last_used_at: float | None

    @property
    def scopes(self) -> list[str]:
        """Its own scopes, or those of its role."""
        return sorted(scopes_of(self.record.role, self.record.scopes))


@dataclass(frozen=True)
class Changes:
    """What is to be changed of a key.

    Attributes:
        name: the new one; None = as it was.
        role: with it the key has that role's scopes in place of those before.
        scopes: likewise, scopes of its own; without both it keeps what it may.
        expires_at: seconds since 1970; None = it lasts until it is revoked.
        limits: by scope; None = that of the settings.
        keeps_limits: whether scopes that are not in `limits` keep the limits that they had.
    """

    name: str | None = None
    role: str | None = None
    scopes: Collection[str] = ()
    expires_at: float | Literal["as before"] | None = "as before"
    limits: Mapping[LimitedScope, int | None] = field(
        default_factory=dict[LimitedScope, int | None]
    )
    keeps_limits: bool = True

    def of(self, record: KeyRecord) -> KeyRecord:
        """The record with the changes."""
        before = record.limits if self.keeps_limits else {}
        limits: dict[str, int | None] = {**before, **self.limits}
        changed: dict[str, Any] = {
            "limits": {scope: units for scope, units in limits.items() if units is not None}
        }
        if self.name is not None:
            changed["name"] = self.name
        if self.role is not None or self.scopes:
            changed |= {"role": self.role, "scopes": tuple(sorted(set(self.scopes)))}
        if self.expires_at != "as before":
            changed["expires_at"] = self.expires_at
        return replace(record, **changed)


async def _nothing() -> None:
    """The `refresh` of who holds no keys in memory."""


class Keys:
    """The keys of the store."""

    def __init__(
        self,
        store: KeyStore,
        refresh: Callable[[], Awaitable[None]] = _nothing,
        now: Callable[[], float] = time.time,
        *,
        has_other_admins: bool = False,
    ) -> None:
        """Work on a store.

        Args:
            store: of the keys.
            refresh: called after each change, so that this process knows it at once.
            now: the store's time, in seconds since 1970.
            has_other_admins: whether somebody may change keys without a key of the store.
        """
        self._store = store
        self._refresh = refresh
        self._now = now
        self._has_other_admins = has_other_admins

    async def create(
        self,
        name: str,
        role: str | None = None,
        scopes: Collection[str] = (),
        expires_at: float | None = None,
        limits: Mapping[LimitedScope, int] | None = None,
        once: Once | None = None,
    ) -> Issued:
        """Make a key with a role or with scopes, and with rate limits of its own where it has any.

        Raises:
            InvalidRequest: it would have expired already.
            KeyTextNotKept: the same request made it before.
            IdempotencyKeyReused: another request has the name of this one.
            StoreUnavailable, StoreFull: the store can't take it.
        """
        now, own = self._now(), tuple(sorted(set(scopes)))
        self._check_expiry(expires_at, now)
        while True:
            await self._check_first(once)
            key_id = new_id()
            key = new_key(key_id)
            record = KeyRecord(
                key_id,
                name,
                role,
                own,
                now,
                expires_at,
                digest_of(key),
                limits={**limits} if limits else {},
            )
            if await self._store.replace(key_id, b"", record.to_json(), once=once):
                await self._known_here()
                return Issued(key, record)

    async def rotate(
        self,
        key_id: str,
        grace_s: float,
        expires_at: float | None = None,
        once: Once | None = None,
    ) -> Issued:
        """Give a key another text; the one before can be used for a while.

        Args:
            key_id: of the key.
            grace_s: seconds for which the text before can be used. That before it ends at once.
            expires_at: of the key from now on; None = as it was.
            once: names the request: sent again, it would end the text that is in use.

        Raises:
            KeyNotFound: there is none.
            InvalidRequest: it would have expired already.
            KeyTextNotKept: the same request gave the key its text before.
            IdempotencyKeyReused: another request has the name of this one.
            StoreUnavailable, StoreFull: the store can't take it.
        """
        key, now = new_key(key_id), self._now()
        while True:
            await self._check_first(once)
            stored = await self._store.get(key_id)
            if not stored:
                _not_found(key_id)
            before = KeyRecord.of_json(stored)
            until = before.expires_at if expires_at is None else expires_at
            self._check_expiry(until, now)
            record = replace(
                before,
                digest=digest_of(key),
                expires_at=until,
                previous_digest=before.digest if grace_s else None,
                previous_until=now + grace_s if grace_s else None,
            )
            if await self._store.replace(key_id, stored, record.to_json(), once=once):
                await self._known_here()
                return Issued(key, record)

    async def update(self, key_id: str, changes: Changes) -> Listed:
        """Change what a key may, or its name; its text stays.

        Raises:
            KeyNotFound: there is none.
            InvalidRequest: it would have expired already.
            LastAdminKey: it would lose the scope admin, which no other key has.
            StoreUnavailable, StoreFull: the store can't take it.
        """
        if isinstance(changes.expires_at, float):
            self._check_expiry(changes.expires_at, self._now())
        while True:
            mark, _ = await self._store.look()
            stored = await self._store.get(key_id)
            if not stored:
                _not_found(key_id)
            before = KeyRecord.of_json(stored)
            record = changes.of(before)
            if record == before:
                break
            loses_admin = _is_admin(before) and not _is_admin(record)
            if loses_admin and not (self._has_other_admins or await self.has_admin_beside(key_id)):
                raise LastAdminKey(
                    f"no key but {key_id!r} has the scope admin: without it nobody could change "
                    "keys over HTTP; create another admin first, or revoke this key"
                )
            needed = mark if loses_admin else ""  # another admin could be demoted meanwhile
            if await self._store.replace(key_id, stored, record.to_json(), needed):
                await self._known_here()
                break
        (used,) = await self._store.last_used([key_id])
        return Listed(record, used)

    async def has_admin_beside(self, key_id: str) -> bool:
        """Whether another key in the store has the scope admin now.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        now = self._now()
        others = await self._store.all()
        others.pop(key_id, None)
        for number, text in enumerate(others.values(), 1):
            if number % READ_AT_ONCE == 0:
                await asyncio.sleep(0)
            record = KeyRecord.of_json(text)
            if _is_admin(record) and (record.expires_at is None or record.expires_at > now):
                return True
        return False

    async def revoke(self, key_id: str) -> None:
        """Remove a key for good.

        Raises:
            KeyNotFound: there is none.
            StoreUnavailable, StoreFull: the store can't do it.
        """
        while stored := await self._store.get(key_id):
            if await self._store.replace(key_id, stored, b""):
                await self._known_here()
                return
        _not_found(key_id)

    async def page(self, after: str, limit: int) -> tuple[Sequence[Listed], str | None]:
        """Keys in the order of their ids, strictly after an id ("" = from the start).

        Returns:
            Up to `limit` keys, and the id that the next page comes after; None on the last one.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        stored = await self._store.all()
        ids = sorted(key_id for key_id in stored if key_id > after)
        shown = ids[:limit]
        used = await self._store.last_used(shown)
        listed = [
            Listed(KeyRecord.of_json(stored[key_id]), last_used_at)
            for key_id, last_used_at in zip(shown, used, strict=True)
        ]
        return listed, shown[-1] if len(ids) > limit else None

    async def _check_first(self, once: Once | None) -> None:
        """That no request with this name gave a key its text before."""
        key_id = "" if once is None else await self._store.made(once)
        if not key_id:
            return
        remedy = (
            "rotate the key with another Idempotency-Key, or revoke it"
            if await self._store.get(key_id)
            else "the key was revoked since; make another with another Idempotency-Key"
        )
        raise KeyTextNotKept(
            f"an earlier request with this Idempotency-Key gave the key {key_id} its text, which "
            f"was shown then and is not kept; {remedy}"
        )

    def _check_expiry(self, expires_at: float | None, now: float) -> None:
        if expires_at is not None and expires_at <= now:
            raise InvalidRequest.of(
                "/expires_at", "has passed already; give a later time, or null for a key that lasts"
            )

    async def _known_here(self) -> None:
        """Have this process know of a change, which is stored already."""
        try:
            await self._refresh()
        except StoreUnavailable:
            return  # then it follows with the next look


def _is_admin(record: KeyRecord) -> bool:
    return "admin" in scopes_of(record.role, record.scopes)


def _not_found(key_id: str) -> NoReturn:
    raise KeyNotFound(f"there is no key {key_id!r}; GET /v1/keys lists all")
