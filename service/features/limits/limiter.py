"""Rate limits of all keys in memory, settled with the store; no request waits for the store.

Each service lets requests in by its own buckets, and every `SETTLE_S` tells the store what was
taken and learns what all services together have taken. So what a service knows of the others is at
most two such times old (until they tell it, and until it learns it), 0.5 s with the time of a
command: see docs/security.md for what can be taken beyond a limit meanwhile. What was taken beyond
is owed like everything else. While the store does not answer, each service counts alone.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Self

from service.engine.work.background import Background
from service.errors import RateLimited, ServiceError
from service.features.limits.buckets import Bucket, Policy
from service.http.auth.callers import Caller
from service.scopes import LIMITED_SCOPES, Scope
from service.settings import RateLimits
from service.store.limits import LimitStore

_log = logging.getLogger(__name__)
SETTLE_S = 0.2
"""Between the beginnings of two settlements; 0.25 s at most while a command takes up to 50 ms."""


class KeyBucket(Bucket):
    """A bucket as requests see it: an `Account`.

    Attributes:
        caller: whose it is.
    """

    __slots__ = ("_now", "_refused", "caller")

    def __init__(
        self, limit: Policy, caller: Caller, now: Callable[[], float], refused: Counter[Scope]
    ) -> None:
        """A full bucket of a caller; `refused` counts by scope."""
        super().__init__(limit)
        self.caller = caller
        self._now = now
        self._refused = refused

    def take(self, units: int, paid: int) -> None:
        """Take units, if any is left or the request is let in already.

        Raises:
            RateLimited: nothing is left; nothing was taken.
        """
        now = self._now()
        left, until_next_s = self.left_and_wait(now)
        if left + paid >= 1:
            self.take_units(units, now)
            return
        limit, wait_s = self.limit, math.ceil(until_next_s)
        self._refused[limit.scope] += 1
        raise RateLimited(
            f"the key {self.caller.key_id} has used up {limit.units} units of {limit.scope!r} in "
            f"{limit.window_s} s; ask again in {wait_s} s, and an admin for a higher limit if "
            "that happens often",
            wait_s,
        )

    def items(self) -> tuple[bytes, bytes]:
        """An item of `RateLimit-Policy`, and one of `RateLimit`."""
        return self.limit.text, b"%b;r=%d;t=%d" % (self.limit.name, *self.state())

    def state(self) -> tuple[int, int]:
        """Units that are left, and seconds until there is one more."""
        left, wait_s = self.left_and_wait(self._now())
        return max(0, math.floor(left)), math.ceil(wait_s)


class SettledRateLimits:
    """The `RateLimits` of the services on one store.

    Attributes:
        refused: how many requests were refused, by scope.
    """

    def __init__(
        self, store: LimitStore, settings: RateLimits, now: Callable[[], float] = time.monotonic
    ) -> None:
        """All buckets are full, as far as is known.

        Args:
            store: of all services.
            settings: the limits of keys that have none of their own.
            now: a clock that never goes back, in seconds.
        """
        self._store = store
        self._now = now
        self._window_s = settings.window_s
        self._limits: dict[Scope, Policy] = {
            scope: Policy(scope, units, settings.window_s)
            for scope in sorted(LIMITED_SCOPES)
            if (units := settings.of(scope))
        }
        self._buckets: dict[tuple[str, Scope], KeyBucket] = {}
        self.refused: Counter[Scope] = Counter()
        self._background = Background("rate limits")

    def account(self, caller: Caller, scope: Scope) -> KeyBucket | None:
        """What a caller has left of a scope's limit now; None without a limit."""
        bucket = self._buckets.get((caller.key_id, scope))
        if bucket is None or bucket.caller is not caller:
            return self._bucket_of(caller, scope, bucket)
        return bucket

    def _bucket_of(
        self, caller: Caller, scope: Scope, before: KeyBucket | None
    ) -> KeyBucket | None:
        """A new bucket, or the one before, for a key that may have been changed."""
        limit = self._limits.get(scope)
        if (units := caller.limits.get(scope)) is not None:
            limit = Policy(scope, units, self._window_s) if units else None
        if limit is None:
            return None
        if before is None:
            before = KeyBucket(limit, caller, self._now, self.refused)
            self._buckets[caller.key_id, scope] = before
        elif before.limit != limit:  # what is used up remains the same share of it
            before.limit = limit
        before.caller = caller
        return before

    async def settle(self) -> None:
        """Tell the store what was taken, and learn what all services have taken.

        Raises:
            StoreUnavailable: it does not answer; what was taken is told the next time.
            StoreFull: likewise.
        """
        buckets, now = self._buckets.copy(), self._now()
        if not buckets:
            return
        spent: dict[str, float] = {}
        for (key_id, scope), bucket in buckets.items():
            spent[f"{scope}:{key_id}"] = bucket.unsettled_s
            bucket.unsettled_s = 0.0
        try:
            left = await self._store.settle(spent)
        except BaseException:
            # It may have counted: rather twice than not at all. What was paid back meanwhile by the
            # time that passed is no longer told, or it would be owed when the store is back.
            for (key, bucket), taken_s in zip(buckets.items(), spent.values(), strict=True):
                owed_s = bucket.owed_s(self._now())
                bucket.unsettled_s = min(bucket.unsettled_s + taken_s, owed_s)
                self._forget_if_full(key, bucket, owed_s)
            raise
        for (key, bucket), left_s in zip(buckets.items(), left, strict=True):
            bucket.full_at = now + left_s + bucket.unsettled_s
            self._forget_if_full(key, bucket, left_s)

    def _forget_if_full(self, key: tuple[str, Scope], bucket: KeyBucket, owed_s: float) -> None:
        """A bucket that is not there is full."""
        if owed_s == bucket.unsettled_s == 0:
            del self._buckets[key]

    async def __aenter__(self) -> Self:
        """Settle in the background."""
        self._background.start(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Settle a last time."""
        await self._background.stop()
        with contextlib.suppress(ServiceError):
            await self.settle()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + SETTLE_S
            try:
                await self.settle()
            except ServiceError:
                pass  # the store's health tells it; meanwhile this service counts alone
            except Exception as error:  # noqa: BLE001 - soon it is tried again
                _log.warning("rate limits can't be settled, each service counts alone: %s", error)
            await asyncio.sleep(max(SETTLE_S / 4, due - loop.time()))
