"""The API keys in memory, which follow those in the store; no request waits for the store."""

import asyncio
import contextlib
import hmac
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from service.engine.work.background import Background
from service.errors import ServiceError, Unauthorized
from service.features.keys.key_text import PREFIX, digest_of, id_in
from service.features.keys.tokens import Tokens
from service.http.auth.callers import Caller
from service.logs.repeats import Repeats
from service.scopes import SCOPES, scopes_of
from service.store.keys import READ_AT_ONCE, KeyRecord, KeyStore

_log = logging.getLogger(__name__)
POLL_S = 0.4
"""Between two looks for changes: a revoked key is refused within a second."""
_LOOK_S = 1.0
"""Longest look that says what time the store has; a longer one is off by up to half of it."""
NOTE_S = 10.0
"""Between two notes in the store of when keys were used."""
ADMIN = Caller("STREAMER_API_KEY", "the key of the settings", frozenset(SCOPES))


@dataclass(frozen=True)
class _Known:
    """A key as the store has it, and who has it."""

    record: KeyRecord
    caller: Caller


class StoredKeyRing:
    """A `KeyRing` of the keys in the store and the one of the settings."""

    def __init__(
        self,
        store: KeyStore,
        admin_key: str | None,
        now: Callable[[], float] = time.time,
        tokens: Tokens | None = None,
    ) -> None:
        """Know nobody but the admin before `refresh`.

        Args:
            store: of the keys.
            admin_key: the key of the settings, which has all scopes; None without one.
            now: this machine's time, in seconds since 1970.
            tokens: of an identity provider, if there is one.
        """
        self._tokens = tokens
        self._store = store
        self._admin_digest = None if admin_key is None else digest_of(admin_key)
        self._now = now
        self._ahead = 0.0  # of this machine's clock, the store's
        self._mark: str = ""
        self._known: dict[str, _Known] = {}
        self._had_keys = False
        self._used: dict[str, float] = {}  # since it was noted last
        self._read_at = 0.0
        self._failure: str | None = None
        self._repeats = Repeats()
        self._refreshing = asyncio.Lock()
        self._background = Background("API keys")

    def now(self) -> float:
        """The store's time, by which keys expire on every replica, whatever its own clock says."""
        return self._now() + self._ahead

    @property
    def is_open(self) -> bool:
        """Whether there is no key at all, and never was one: losing the last one opens nothing."""
        return self._admin_digest is None and self._tokens is None and not self._had_keys

    @property
    def has_standing_admins(self) -> bool:
        """Whether the settings let an admin in, whatever keys are stored."""
        return self._admin_digest is not None or (
            self._tokens is not None and self._tokens.grants_admin
        )

    def read_at(self) -> dict[str, float]:
        """When keys were read last, in seconds since 1970, by where they are."""
        found = {"store": self._read_at}
        return (
            found if self._tokens is None else found | {"identity_provider": self._tokens.read_at}
        )

    def trouble(self) -> str | None:
        """Which keys can't be read, for people; None while all can."""
        tokens, why = self._tokens, "can't be read (the log has the reason)"
        stored = self._failure and f"the API keys {why}: those that are revoked stay valid"
        provided = (
            tokens
            and tokens.failure
            and (
                f"the identity provider's keys {why}: "
                + ("known ones hold" if tokens.read_at else "no token is taken")
            )
        )
        return "; ".join(filter(None, (stored, provided))) or None

    def caller_of(self, key: str) -> Caller:
        """Who has a key; see `KeyRing.caller_of`.

        Raises:
            Unauthorized: nobody, or not any more.
        """
        digest = digest_of(key)
        if self._admin_digest is not None and hmac.compare_digest(digest, self._admin_digest):
            return ADMIN
        if self._tokens is not None and key.count(".") == 2:
            return self._tokens.caller_of(key)
        key_id = id_in(key)
        if key_id is None:
            raise Unauthorized(
                "the key is mistyped or cut off: its checksum is wrong; copy it as a whole"
                if key.startswith(PREFIX)
                else "the key is not known here; ask an admin for one"
            )
        known, now = self._known.get(key_id), self.now()
        if known is None or not _fits(known.record, digest, now):
            raise Unauthorized(
                f"the key {key_id} is not known here, was rotated or revoked; ask an admin for "
                "another"
            )
        expires_at = known.record.expires_at
        if expires_at is not None and now >= expires_at:
            raise Unauthorized(f"the key {key_id} has expired; ask an admin to rotate it")
        self._used[key_id] = now
        return known.caller

    async def refresh(self) -> None:
        """Read the keys if any was changed.

        Raises:
            StoreUnavailable: the store does not answer; what was known stays known.
        """
        async with self._refreshing:  # none may undo what a later one read
            asked, (mark, at), now = self._now(), await self._store.look(), self._now()
            if abs(now - asked) <= _LOOK_S or not self._read_at:
                self._ahead = at - (asked + now) / 2
            if mark == self._mark:
                self._read_at = now
                return
            changes = await self._store.since(self._mark) if self._mark else None
            if changes is None:
                self._known = await self._read(await self._store.all())
            else:
                mark = changes.mark
                changed = {key_id: text for key_id, text in changes.records.items() if text}
                read = await self._read(changed)
                for key_id in changes.records:
                    self._known.pop(key_id, None)
                self._known |= read
            self._mark, self._read_at = mark, now
            self._had_keys = self._had_keys or mark != ""

    async def _read(self, stored: Mapping[str, bytes]) -> dict[str, _Known]:
        """Read records, as many as there are; requests are answered in between."""
        found: dict[str, _Known] = {}
        for number, (key_id, text) in enumerate(stored.items(), 1):
            if number % READ_AT_ONCE == 0:
                await asyncio.sleep(0)
            try:
                record = KeyRecord.of_json(text)
            except ValueError as error:
                _log.warning("the key %s is refused, its record can't be read: %s", key_id, error)
                continue
            scopes = scopes_of(record.role, record.scopes)
            caller = Caller(key_id, record.name, scopes, record.limits)
            found[key_id] = _Known(record, caller)
        return found

    async def note_used(self) -> None:
        """Have the store know when keys were used.

        Raises:
            StoreUnavailable: it does not answer; it is told the next time.
            StoreFull: likewise.
        """
        used, self._used = self._used, {}
        try:
            await self._store.note_used({i: t for i, t in used.items() if i in self._known})
        except ServiceError:
            self._used = {**used, **self._used}
            raise

    async def __aenter__(self) -> Self:
        """Read the keys, and follow the store.

        Raises:
            StoreUnavailable: it does not answer.
        """
        await self.refresh()
        self._background.start(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Follow no more."""
        await self._background.stop()
        with contextlib.suppress(ServiceError):
            await self.note_used()

    async def _run(self) -> None:
        noted = time.monotonic()
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self.refresh()
                self._failure = None
            except Exception as error:  # noqa: BLE001 - soon it is asked again
                failure = error.detail if isinstance(error, ServiceError) else repr(error)
                if failure != self._failure:
                    _log.warning("the keys can't be read, known ones hold: %s", failure)
                self._failure = failure
                continue
            if time.monotonic() - noted < NOTE_S:
                continue
            noted = time.monotonic()
            try:
                await self.note_used()
            except ServiceError:
                pass  # the store's health tells it
            except Exception as error:  # noqa: BLE001 - soon it is told again
                if self._repeats.is_new("note", error):
                    _log.warning("when keys were used can't be noted: %s", error)


def _fits(record: KeyRecord, digest: str, now: float) -> bool:
    """Whether a digest is that of the key, or of the one before while that may be used."""
    if hmac.compare_digest(digest, record.digest):
        return True
    previous, until = record.previous_digest, record.previous_until or 0.0
    return previous is not None and now < until and hmac.compare_digest(digest, previous)
