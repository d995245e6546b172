"""What this replica tells the store of itself, so that changes wait for replicas that are there."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from service.errors import ServiceError

_log = logging.getLogger(__name__)
_LEAVE_S = 1.0
"""Longest wait for the store when the replica stops; others then miss it a little later."""


class ReplicaNotes(Protocol):
    """Where replicas tell what they have."""

    async def note_replica(self, replica: str, held: Mapping[str, Any]) -> None:
        """Tell what a replica has.

        Raises:
            StoreFull, StoreUnavailable: the store did not take it.
        """
        ...

    async def forget_replica(self, replica: str) -> None:
        """Forget a replica, which stops.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        ...


class Presence:
    """Tells what a replica has, the newest last, and nothing after it left.

    Attributes:
        told: what was told last; None before.
    """

    def __init__(self, notes: ReplicaNotes, replica: str) -> None:
        """Tell `notes` of `replica`, which no other process is called."""
        self.told: Mapping[str, Any] | None = None
        self._notes = notes
        self._replica = replica
        self._telling = asyncio.Lock()
        self._has_left = False

    async def tell(self, held: Callable[[], Mapping[str, Any]]) -> None:
        """Tell what `held` returns once it is this one's turn.

        Raises:
            StoreFull, StoreUnavailable: the store did not take it.
        """
        async with self._telling:
            if not self._has_left:
                now = held()
                await self._notes.note_replica(self._replica, now)
                self.told = now

    async def leave(self) -> None:
        """Let the store forget the replica; a store that does not answer holds nobody up."""
        if self._has_left:
            return
        self._has_left = True
        try:
            async with asyncio.timeout(_LEAVE_S), self._telling:
                await self._notes.forget_replica(self._replica)
        except (ServiceError, TimeoutError) as error:
            _log.info("others learn a little later that this replica stopped: %s", error)
