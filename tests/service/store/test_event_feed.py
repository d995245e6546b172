"""The feed of events in a real store: groups with room of their own, and what writes tell."""

import json
from typing import Any

import pytest

from service.store.base import Delete, Written
from service.store.events import MOST_KEPT, WRITES, FeedGap, FeedPlace, NewEvent
from service.store.redis.documents.store import RedisDocuments
from service.store.redis.durability import count_on
from service.store.redis.events.feed import RedisEvents
from service.store.redis.store import RedisStore
from tests.service.store.records import upsert

pytestmark = pytest.mark.anyio


@pytest.fixture
def events(store: RedisStore) -> RedisEvents:
    return RedisEvents(store.client)


async def tell(store: RedisStore, *kinds: str) -> None:
    made = [NewEvent(f"evt-{i}-{kind}", kind, b"{}") for i, kind in enumerate(kinds)]
    await RedisDocuments(store.client).change([], events=made)


async def test_each_write_is_told_in_its_own_step(store: RedisStore, events: RedisEvents) -> None:
    await store.write([upsert("a"), upsert("b"), Delete("nobody"), upsert("a"), Delete("b")])
    found = (await events.page(None, 9)).events
    assert [(e.kind, json.loads(e.data), e.number) for e in found] == [
        ("streamer.upserted", {"streamer_id": "a", "version": 1, "created": True}, 1),
        ("streamer.upserted", {"streamer_id": "b", "version": 2, "created": True}, 2),
        ("streamer.upserted", {"streamer_id": "a", "version": 3, "created": False}, 3),
        ("streamer.deleted", {"streamer_id": "b", "version": 4}, 4),
    ]
    assert len({e.event_id for e in found}) == 4
    assert [e.event_id for e in (await events.page(None, 9)).events] == [e.event_id for e in found]
    refused = await store.write([upsert("a", expected_version=1)])
    assert not isinstance(refused[0], Written)
    assert len((await events.page(None, 9)).events) == 4


async def test_groups_are_merged_and_a_write_comes_before_what_it_made(
    store: RedisStore, events: RedisEvents
) -> None:
    await store.write([upsert("a")])
    await tell(store, "duplicates.grew", "alert.raised")
    await store.write([upsert("b")])
    kinds = []
    place = None
    while True:
        page = await events.page(place, 1)
        kinds += [event.kind for event in page.events]
        if not page.events:
            break
        place = page.after
    assert kinds[0] == "streamer.upserted"
    assert sorted(kinds) == sorted(e.kind for e in (await events.page(None, 9)).events)
    assert kinds == [e.kind for e in (await events.page(None, 9)).events]
    assert place is not None
    assert place.numbers == {WRITES: 2, "duplicates": 1, "alert": 1}
    assert (await events.newest()).numbers == place.numbers


async def test_a_load_drops_nothing_of_other_groups(
    store: RedisStore, events: RedisEvents, admin: Any
) -> None:
    await tell(store, "alert.raised")
    begin = await events.newest()
    await store.write([upsert(f"s{i}") for i in range(50)])
    await admin.xtrim("ss:events:writes", maxlen=10, approximate=False)
    with pytest.raises(FeedGap) as gap:
        await events.page(begin, 9)
    assert gap.value.missed == {WRITES: 40}
    rest = await events.page(None, 100, ["alert"])
    assert [event.kind for event in rest.events] == ["alert.raised"]
    assert rest.oldest_at["alert"] == rest.events[0].at
    assert MOST_KEPT == 100_000


async def test_a_number_that_was_lost_and_given_again_is_no_place_to_go_on(
    store: RedisStore, events: RedisEvents, admin: Any
) -> None:
    await tell(store, "alert.raised")
    await store.write([upsert("a"), upsert("b")])
    place = (await events.page(None, 9)).after
    assert (await events.page(place, 9)).events == []
    (seen,) = await admin.xrange("ss:events:alert")
    at = int(seen[1][b"at"])

    async def lost(group: str, number: int, **fields: object) -> None:
        """The last event is lost, and two others come in its place."""
        await admin.delete(f"ss:events:{group}")
        for again in (number, number + 1):
            await admin.xadd(f"ss:events:{group}", {**fields, "at": at + 9}, id=f"{again}-0")

    told = {"id": "evt-0-alert.raised", "kind": "alert.raised", "data": "{}"}
    await lost("alert", 1, **told)  # the first one of them has the same cause
    await admin.hset("ss:events:meta", "number:alert", 2)
    with pytest.raises(FeedGap) as gap:
        await events.page(place, 9)
    assert not gap.value.missed
    assert (await events.page(place, 9, [WRITES])).events == []
    earlier = FeedPlace(place.epoch, place.numbers)  # of a release without marks
    assert [event.number for event in (await events.page(earlier, 9)).events] == [2]
    await lost(WRITES, 2, id="c", did="created")
    with pytest.raises(FeedGap):
        await events.page(place, 9, [WRITES])


async def test_a_clock_that_is_set_back_loses_nothing(
    store: RedisStore, events: RedisEvents, admin: Any
) -> None:
    """Numbers are the order of a group, whatever its times say."""
    for number, at in ((1, 9000), (2, 1000), (3, 9001)):
        await admin.xadd(
            "ss:events:alert",
            {"id": f"evt-{number}", "kind": "alert.raised", "data": "{}", "at": at},
            id=f"{number}-0",
        )
    await admin.hset("ss:events:meta", "number:alert", 3)
    await store.write([upsert("a")])
    place, numbers = None, []
    while (page := await events.page(place, 1)).events:
        numbers += [(e.group, e.number) for e in page.events]
        place = page.after
    assert [n for group, n in numbers if group == "alert"] == [1, 2, 3]
    assert len(numbers) == 4
    assert await events.newest() == FeedPlace(place.epoch if place else "", {"alert": 3, WRITES: 1})


async def test_a_store_that_counts_on_behind_a_loss_has_another_feed(
    store: RedisStore, events: RedisEvents
) -> None:
    await store.write([upsert("a"), upsert("b")])
    await tell(store, "alert.raised")
    place = (await events.page(None, 9)).after
    await count_on(store.client, "ss:", 2)  # nothing was lost
    assert (await events.page(place, 9)).events == []
    await count_on(store.client, "ss:", 9)
    saw_all = FeedPlace(place.epoch, {**place.numbers, WRITES: 9})  # of what was lost
    for seen in (place, saw_all):
        with pytest.raises(FeedGap) as gap:
            await events.page(seen, 9)
        assert not gap.value.missed
    page = await events.page(None, 9)
    assert [event.kind for event in page.events] == ["alert.raised"]
    assert (await events.page(page.after, 9)).events == []
    await store.write([upsert("c")])
    assert [event.number for event in (await events.page(page.after, 9)).events] == [10]
