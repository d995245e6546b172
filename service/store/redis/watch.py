"""Watches a server of one's own: whether it answers, and whether it takes writes."""

import asyncio
import itertools
import logging
import time

from service.errors import NotReplicated, StoreFull, StoreUnavailable
from service.store.redis.client import CommandRefused, Limits, RedisClient
from service.store.redis.connecting.address import StoreAddress
from service.store.redis.durability import ALWAYS, find_durability, is_durable
from service.store.trouble import Trouble

_log = logging.getLogger(__name__)
_EVERY_S = 1.0
_DURABILITY_LOOKS = 60
"""After so many looks the configuration is read again, which others may have changed."""
_ANSWER_S = 2.0


class ServerWatch:
    """Asks a server once a second for a write that changes nothing.

    A server refuses such a write as it refuses any other: when it is a replica, lacks replicas or
    memory, could not save, or does not let this user write.
    """

    def __init__(
        self,
        address: StoreAddress | str,
        *,
        prefix: str = "ss:",
        answer_s: float = _ANSWER_S,
        durability: str = ALWAYS,
    ) -> None:
        """Ask nothing before `start`.

        Args:
            address: of the servers.
            prefix: how every key begins.
            answer_s: a server that takes longer for an answer is silent, since it was asked.
            durability: what was found before; see `find_durability`.
        """
        # A connection of its own: those for requests may all be in use.
        place = StoreAddress(address) if isinstance(address, str) else address
        patience_s = answer_s + (place.replica_timeout_ms / 1000 if place.replicas else 0.0)
        limits = Limits(connections=1, connect_timeout_s=answer_s, answer_timeout_s=patience_s)
        self._client = RedisClient(place, limits, lambda: None)
        self._ids = f"{prefix}ids"
        self._silence = Trouble()
        self._refusal: str | None = None
        self._durability = durability
        self._task: asyncio.Task[None] | None = None

    def trouble(self) -> str | None:
        """What is wrong at the moment, for people; None while the server takes writes."""
        return self._silence.lasting() or self._refusal

    def silence(self, longer_than_s: float = 0.0) -> str | None:
        """Why it has answered nothing for longer, for people; None while it answers."""
        return self._silence.lasting(longer_than_s)

    @property
    def acknowledged_by(self) -> int | None:
        """How many replicas acknowledged the last of these writes; None if none has to."""
        return self._client.acknowledged_by

    @property
    def restarts(self) -> int | None:
        """None: others start it."""
        return None

    @property
    def is_durable(self) -> bool | None:
        """Whether it keeps all that it acknowledges, as it was found last."""
        return is_durable(self._durability)

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._task = asyncio.create_task(self._run(), name="watch of the store")

    async def stop(self) -> None:
        """Ask no more, and close the connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._client.close()

    async def _run(self) -> None:
        for looks in itertools.count(1):
            await self.look()
            if looks % _DURABILITY_LOOKS == 0:
                await self._look_at_durability()
            await asyncio.sleep(_EVERY_S)

    async def _look_at_durability(self) -> None:
        try:
            found = await find_durability(self._client)
        except Exception as error:  # noqa: BLE001 - in a minute it is asked again
            _log.debug("the store's configuration can't be read: %s", error)
            return
        if is_durable(found) is None:
            return  # it may not be read any more: nothing is known of a change
        if found != self._durability and found == ALWAYS:
            _log.info("the store keeps what it acknowledges again")
        elif found != self._durability:
            _log.warning("writes may be lost: %s", found)
        self._durability = found

    async def look(self) -> None:
        """Ask once, and note what comes of it."""
        began = time.monotonic()
        refusal: str | None = None
        silence: str | None = None
        try:
            # Only members that are there are changed, and no id is empty.
            await self._client.ask("ZADD", self._ids, "XX", 0, "")
        except (StoreFull, CommandRefused, NotReplicated) as error:
            refusal = error.detail
        except StoreUnavailable as error:
            silence = error.detail
        except Exception as error:  # noqa: BLE001 - in a second it is asked again
            refusal = f"the store refuses: {error}"
        self._refusal = refusal
        self._silence.note(silence, began)
