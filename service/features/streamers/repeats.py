"""Requests that are sent again: their write is done once, and the first answer is given again."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from service.errors import (
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    StreamerNotFound,
    VersionConflict,
)
from service.store.base import DoneBefore, StreamerStore
from service.store.once import Once


class Repeats:
    """Tells which requests were answered before."""

    def __init__(self, store: StreamerStore) -> None:
        """Look in `store`, which remembers what was done."""
        self._store = store
        self._under_way: dict[str, str] = {}  # fingerprints of requests, by key

    @asynccontextmanager
    async def caught(self, once: Once | None) -> AsyncGenerator[None]:
        """Do what is inside only if no request did it before; without `once`, always.

        Of two processes that write at the same time, the store lets one do it and the other know.

        Raises:
            DoneBefore: the same request did it.
            IdempotencyKeyInUse: the same request is doing it in this process.
            IdempotencyKeyReused: another request has the key.
            StoreUnavailable: the store does not answer.
        """
        if once is None:
            yield
            return
        other = self._under_way.get(once.key)
        if other is not None:
            kind = IdempotencyKeyInUse if other == once.fingerprint else IdempotencyKeyReused
            raise kind(kind.example)
        self._under_way[once.key] = once.fingerprint
        try:
            await self._look(once)
            try:
                yield
            except (StreamerNotFound, VersionConflict):
                await self._look(once)  # what it met may be its own write, made by another process
                raise
        except DoneBefore as done:
            if done.fingerprint != once.fingerprint:
                raise IdempotencyKeyReused(IdempotencyKeyReused.example) from None
            raise
        finally:
            del self._under_way[once.key]

    async def _look(self, once: Once) -> None:
        before = await self._store.done_before(once.key)
        if before is not None:
            raise before
