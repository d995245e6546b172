"""What replicas tell of themselves: the newest stays, and nothing after they left."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from service.engine.replica.presence import Presence, ReplicaNotes
from service.store.redis.client import RedisClient
from service.store.redis.models.store import RedisModels
from service.store.redis.spaces.store import RedisSpaces
from service.store.redis.store import RedisStore
from tests.service.store.conftest import OpenStore

pytestmark = pytest.mark.anyio
Notes = RedisModels | RedisSpaces
every_kind = pytest.mark.parametrize("notes_of", [RedisModels, RedisSpaces])


class Slow(ReplicaNotes):
    """Tells `notes` when it may."""

    def __init__(self, notes: Notes) -> None:
        self.is_telling, self.may_go_on = asyncio.Event(), asyncio.Event()
        self._notes = notes

    async def note_replica(self, replica: str, held: Mapping[str, Any]) -> None:
        self.is_telling.set()
        await self.may_go_on.wait()
        await self._notes.note_replica(replica, held)

    async def forget_replica(self, replica: str) -> None:
        await self._notes.forget_replica(replica)


@every_kind
async def test_who_leaves_is_forgotten(
    store: RedisStore, notes_of: Callable[[RedisClient], Notes]
) -> None:
    notes = notes_of(store.client)
    one, other = Presence(notes, "one"), Presence(notes, "other")
    for each in (one, other):
        await each.tell(lambda: {"als": ["g0"]})
    assert (await notes.replicas(3600.0)).keys() == {"one", "other"}
    await one.leave()
    await one.tell(lambda: {"als": ["g1"]})
    assert await notes.replicas(3600.0) == {"other": {"als": ["g0"]}}
    await one.leave()


@every_kind
async def test_what_is_told_while_one_leaves(
    store: RedisStore, notes_of: Callable[[RedisClient], Notes]
) -> None:
    notes = notes_of(store.client)
    slow = Slow(notes)
    presence = Presence(slow, "one")
    under_way = asyncio.create_task(presence.tell(lambda: {"als": ["g0"]}))
    await slow.is_telling.wait()
    waits = asyncio.create_task(presence.tell(lambda: {"als": ["g1"]}))
    leaves = asyncio.create_task(presence.leave())
    slow.may_go_on.set()
    await asyncio.gather(under_way, waits, leaves)
    assert await notes.replicas(3600.0) == {}


@every_kind
async def test_a_store_that_is_closed_is_no_error(
    open_store: OpenStore, admin: Any, notes_of: Callable[[RedisClient], Notes]
) -> None:
    store = await open_store()
    presence = Presence(notes_of(store.client), "one")
    await presence.tell(dict)
    await store.close()
    await presence.leave()
