"""Waits until replicas have a generation in memory, so that all of them can serve it at once."""

import asyncio
import time

from service.errors import HandOverUnderWay, NotReady
from service.features.spaces.following import SEEN_S, SpaceFollower
from service.store.spaces import GenerationRecord, SpaceRecord, SpaceStore

_LOOK_S = 0.1


class Preparation:
    """Waits for this replica and for the others."""

    def __init__(self, store: SpaceStore, follower: SpaceFollower, timeout_s: float) -> None:
        """Wait at most so long for each of both."""
        self._store = store
        self._follower = follower
        self._timeout_s = timeout_s

    async def here(self, chunks_id: str) -> None:
        """Return when this replica has a generation, or can't load it, or it takes too long."""
        until = time.monotonic() + self._timeout_s
        while time.monotonic() < until:
            if self._is_settled(chunks_id):
                return
            await asyncio.sleep(_LOOK_S)

    async def everywhere(self, space: str, prepared: GenerationRecord) -> None:
        """Return when all replicas have what the space's record says is being prepared, or in time.

        Raises:
            HandOverUnderWay: something else is being prepared since.
            NotReady: this replica can't load it.
            StoreUnavailable: the store does not answer.
        """
        generation, chunks_id = prepared.generation, prepared.chunks_id
        until = time.monotonic() + self._timeout_s
        while not self._is_settled(chunks_id) and time.monotonic() < until:
            self._check(space, generation)
            await asyncio.sleep(_LOOK_S)
        if self._follower.holds(chunks_id) is None:
            why = self._follower.problems.get(chunks_id, f"not within {self._timeout_s:g} s")
            raise NotReady(f"generation {generation!r} can't be loaded: {why}", 5)
        until = time.monotonic() + self._timeout_s
        while time.monotonic() < until:
            replicas = await self._store.replicas(SEEN_S)
            if all(chunks_id in held.get(space, ()) for held in replicas.values()):
                return
            self._check(space, generation)
            await asyncio.sleep(_LOOK_S)

    def _is_settled(self, chunks_id: str) -> bool:
        """Whether a generation is in memory, or can't be loaded."""
        return bool(self._follower.holds(chunks_id)) or chunks_id in self._follower.problems

    def _check(self, space: str, generation: str) -> None:
        """Go on only while replicas still load it: of a space they prepare one at a time."""
        record = self._follower.records.get(space)
        if record is None or generation not in (record.preparing, *record.served[-1:]):
            raise superseded(space, generation)


def check_prepared(known: SpaceRecord, prepared: GenerationRecord) -> None:
    """Switch to no generation that replicas do not hold any more, or that was handed over anew.

    Raises:
        HandOverUnderWay: another one is being promoted since.
    """
    found = None if known.preparing is None else known.get(known.preparing)
    if found is None or found.chunks_id != prepared.chunks_id:
        raise superseded(known.space, prepared.generation)


def superseded(space: str, generation: str) -> HandOverUnderWay:
    """The error for a promotion that another one took the place of."""
    return HandOverUnderWay(
        f"generation {generation!r} of {space!r} is given up: another one is being promoted "
        "since, or was, or it was deleted; promote it again if it is to serve"
    )
