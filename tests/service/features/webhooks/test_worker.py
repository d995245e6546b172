"""One endpoint's worker on a real store: bounds, gaps, other workers, clocks that are set."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address
from typing import Any

import pytest
from redis.asyncio import Redis

from service.errors import NotReplicated, WebhookNotFound
from service.features.events.news import News
from service.features.webhooks import retries
from service.features.webhooks import worker as worker_module
from service.features.webhooks.messages import _key_of
from service.features.webhooks.records import (
    ENDPOINTS,
    MOST_DUE,
    STATES,
    Delivery,
    Endpoint,
    State,
    deliveries,
)
from service.features.webhooks.sending import Sender
from service.features.webhooks.service import Webhooks
from service.features.webhooks.targets import TargetRefused, Targets
from service.features.webhooks.worker import Gone, Means, Worker
from service.media.addresses import IPAddress, SystemResolver
from service.settings.webhooks import Webhooks as Settings
from service.store.documents import RevisionConflict
from service.store.embedded.supervisor import EmbeddedStore
from service.store.events import EventPage, NewEvent, StoredEvent
from service.store.redis.documents.store import RedisDocuments
from service.store.redis.events.feed import RedisEvents
from service.store.redis.store import RedisStore
from tests.service.features.webhooks.receiver import Receiver
from tests.service.unanswered import lose_answers_of_deletions

pytestmark = pytest.mark.anyio
LOCAL = Settings.model_validate({"private_networks": "127.0.0.0/8", "timeout_ms": 30_000})


class World:
    """A store, the use-cases, and workers that a test runs."""

    def __init__(self, store: RedisStore, admin: Any, targets: Targets) -> None:
        self.admin = admin
        self.documents, self.events = RedisDocuments(store.client), RedisEvents(store.client)
        self.at = 1_800_000_000.0
        sender = Sender(LOCAL, targets)
        self.means = Means(self.documents, self.events, News(self.events), sender, lambda: self.at)
        self.webhooks = Webhooks(self.means, targets, lambda: None)

    async def tell(self, *names: str) -> None:
        data = [f'{{"streamer_id":"{name}"}}'.encode() for name in names]
        start = (await self.events.newest()).numbers.get("watchlist", 0)
        events = [
            NewEvent(f"evt-{start + i:024}", "watchlist.matched", body)
            for i, body in enumerate(data)
        ]
        for at in range(0, len(events), 500):
            await self.documents.change([], events=events[at : at + 500])

    async def create(self, url: str) -> str:
        shown, _ = await self.webhooks.create(url, ["watchlist.*"], "", "key")
        return shown.endpoint.webhook_id

    async def state(self, webhook_id: str) -> State:
        (found,) = await self.documents.get(STATES, [webhook_id])
        assert found is not None
        return State.model_validate_json(found.body)

    @contextlib.asynccontextmanager
    async def working(self, webhook_id: str) -> AsyncIterator[Worker]:
        worker = Worker(self.means, webhook_id)
        task = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def world(embedded: EmbeddedStore) -> AsyncIterator[World]:
    admin: Any = Redis.from_url(embedded.url)
    await admin.flushall()
    resolver = SystemResolver(2)
    store = await RedisStore(embedded.url).open()
    world = World(store, admin, Targets(LOCAL, resolver))
    yield world
    await world.means.news.stop()
    await store.close()
    resolver.close()
    await admin.aclose()


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not await condition():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


@pytest.mark.slow
async def test_an_endpoint_that_is_down_fills_nothing(world: World, receiver: Receiver) -> None:
    receiver.answer = lambda received, handler: 503
    webhook_id = await world.create(receiver.url())
    await world.tell(*(f"s{i}" for i in range(2 * MOST_DUE)))
    due = deliveries(webhook_id, "due")

    async def is_full() -> bool:
        return await world.documents.count(due) == MOST_DUE

    async with world.working(webhook_id) as worker:
        await until(is_full)
        await until(lambda: _is(worker.due == MOST_DUE))
    assert len(receiver.requests) < 50  # and it is not asked for each of them
    await world.admin.xtrim("ss:events:watchlist", maxlen=100, approximate=False)
    receiver.answer = lambda received, handler: 204
    for document in await world.documents.page(due, None, 1000):  # as if their time had come
        delivery = Delivery.model_validate_json(document.body)
        assert delivery.delay_s >= delivery.attempts > 0 or delivery.next_at == 0
    world.at += 86_400

    async def is_empty() -> bool:
        state = await world.state(webhook_id)
        return state.delivered == MOST_DUE + 100

    async with world.working(webhook_id):
        await until(is_empty)
    state = await world.state(webhook_id)
    assert state.missed == world.means.counts.missed == MOST_DUE - 100
    page = await world.events.page(None, 1000, ["webhook"])
    assert [event.kind for event in page.events] == ["webhook.missed"]
    assert f'"missed": {{"watchlist": {MOST_DUE - 100}}}' in page.events[0].data.decode()
    assert len({r.message for r in receiver.requests if r.body}) == MOST_DUE + 100


async def _is(condition: bool) -> bool:
    return condition


async def test_a_clock_that_is_set_back_delays_nothing(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry waits as long as the table says, whatever the clock says by then."""
    monkeypatch.setattr(retries, "DELAYS_S", (0, 0.1, 0.1))
    receiver.answer = lambda received, handler: 500 if len(receiver.requests) == 1 else 204
    webhook_id = await world.create(receiver.url())
    await world.tell("s")
    async with world.working(webhook_id):
        await until(lambda: _is(len(receiver.requests) >= 1))

        async def failed() -> bool:
            return (await world.state(webhook_id)).last_failure_at is not None

        await until(failed)
    world.at -= 30 * 86_400
    async with world.working(webhook_id):
        await until(lambda: _is(len(receiver.requests) >= 2))
    first, second = receiver.requests[:2]
    assert first.message == second.message
    assert retries.wait_s(5.0, next_at=1e9 + 5, now=1e9 - 1e6) == 5.0
    assert retries.wait_s(5.0, next_at=1e9 + 5, now=1e9 + 1e6) == 0.0


async def test_of_two_workers_one_is_refused(world: World, receiver: Receiver) -> None:
    webhook_id = await world.create(receiver.url())
    first, second = Worker(world.means, webhook_id), Worker(world.means, webhook_id)
    tasks = [asyncio.create_task(worker.run()) for worker in (first, second)]
    try:
        await until(lambda: _is(bool(first.revision and second.revision)))
        await world.tell(*"abcdefghij")
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            assert isinstance(task.exception(), RevisionConflict)
        async with world.working(webhook_id):
            await until(lambda: _is(len({r.message for r in receiver.requests}) == 10))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_kind_that_is_added_is_sent_from_then_on(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the worker has not heard of it when it reads the event; what was before is not."""
    shown, _ = await world.webhooks.create(receiver.url(), ["duplicates.grew"], "", "key")
    webhook_id, page = shown.endpoint.webhook_id, world.events.page

    async def tell(number: int, name: str) -> None:
        data = f'{{"group_id":"{name}"}}'.encode()
        event = NewEvent(f"evt-{number:024}", "duplicates.split", data)
        await world.documents.change([], events=[event])

    async with world.working(webhook_id) as worker:
        await tell(1, "before")
        await until(lambda: _is(worker._skipped == 1))

        async def changed_before(*wanted: Any) -> EventPage:
            monkeypatch.undo()
            kinds = ["duplicates.grew", "duplicates.split"]
            await world.webhooks.update(webhook_id, {"kinds": kinds}, ())
            await tell(2, "added")
            return await page(*wanted)

        monkeypatch.setattr(world.events, "page", changed_before)
        await tell(3, "ignored or sent")
        await until(lambda: _is(bool(receiver.requests)))
        await until(lambda: _is(len(receiver.requests) >= 2))
    bodies = "".join(each.body for each in receiver.requests)
    assert ("added" in bodies, "before" in bodies) == (True, False)


async def test_a_restored_store_has_another_feed(world: World, receiver: Receiver) -> None:
    webhook_id = await world.create(receiver.url())
    await world.tell("a", "b")
    await world.admin.delete("ss:events:meta", "ss:events:watchlist")
    await world.tell("c")
    async with world.working(webhook_id):
        await until(lambda: _is(len(receiver.requests) == 1))
    assert '"streamer_id":"c"' in receiver.requests[0].body


async def test_who_is_deleted_has_no_worker(world: World, receiver: Receiver) -> None:
    webhook_id = await world.create(receiver.url())
    await world.webhooks.delete(webhook_id, ())
    with pytest.raises(Gone):
        await Worker(world.means, webhook_id).run()
    assert await world.documents.page(ENDPOINTS, None, 9) == []


async def test_a_deletion_that_is_not_answered_leaves_no_delivery(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.answer = lambda received, handler: 503
    webhook_id = await world.create(receiver.url())
    await world.tell("a", "b")

    async def is_failing() -> object:
        return bool(receiver.requests) and (await world.state(webhook_id)).last_failure_at

    async with world.working(webhook_id):
        await until(is_failing)
    assert await world.documents.collections(f"webhooks:{webhook_id}:")
    with monkeypatch.context() as patch:
        lose_answers_of_deletions(patch, ENDPOINTS)
        with pytest.raises(NotReplicated):
            await world.webhooks.delete(webhook_id, ())
    with pytest.raises(WebhookNotFound):
        await world.webhooks.delete(webhook_id, ())
    assert await world.documents.collections(f"webhooks:{webhook_id}:") == []


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["93.184.216.34", "10.0.0.1"], []])
async def test_a_name_that_comes_to_mean_another_address(
    world: World, addresses: Sequence[str]
) -> None:
    """It is resolved for each attempt, and every address has to be allowed."""

    async def resolve(host: str, port: int) -> list[IPAddress]:
        return [ip_address(address) for address in addresses]

    targets = Targets(Settings(), resolve)
    url = targets.parsed("https://hooks.example.org/a")
    if addresses:
        with pytest.raises(TargetRefused):
            await targets.addresses(url)
    sender = Sender(LOCAL, targets, ssl.create_default_context())
    attempt = await sender.post(str(url), [], "{}")
    assert attempt.status is None
    assert attempt.error


async def test_secrets_that_end_sign_no_more(world: World, receiver: Receiver) -> None:
    webhook_id = await world.create(receiver.url())
    await world.webhooks.rotate(webhook_id, 60)
    (found,) = await world.documents.get(ENDPOINTS, [webhook_id])
    assert found is not None
    endpoint = Endpoint.model_validate_json(found.body)
    assert len(endpoint.keys(world.at + 59)) == 2
    assert endpoint.keys(world.at + 61) == [endpoint.secrets[0].text]


async def test_each_secret_keeps_its_grace(world: World, receiver: Receiver) -> None:
    webhook_id = await world.create(receiver.url())

    async def signing(after_s: float) -> list[str]:
        (found,) = await world.documents.get(ENDPOINTS, [webhook_id])
        assert found is not None
        return Endpoint.model_validate_json(found.body).keys(world.at + after_s)

    (first,) = await signing(0)
    _, second = await world.webhooks.rotate(webhook_id, 60)
    _, third = await world.webhooks.rotate(webhook_id, 30)
    assert await signing(29) == [third, second, first]
    assert await signing(31) == [third, first]
    for _ in range(9):
        await world.webhooks.rotate(webhook_id, 60)
    assert len(await signing(0)) == 6
    _, last = await world.webhooks.rotate(webhook_id, 0)
    assert await signing(0) == [last]


async def test_of_many_that_are_given_up_together_the_newest_are_kept(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "MOST_DEAD", 2)
    webhook_id = await world.create(receiver.url())
    worker = Worker(world.means, webhook_id)
    for start in (0, 2, 4):
        given_up = [
            Delivery(number=n, message="m", event_id="e", kind="k", key="a", body="", event_at=0.0)
            for n in range(start, start + 2)
        ]
        await world.documents.change(await worker._put_dead(given_up))
        assert await world.documents.count(deliveries(webhook_id, "dead")) == 2


def test_events_of_one_group_wait_for_each_other_alone() -> None:
    def key(data: dict[str, object]) -> str:
        body = json.dumps(data).encode()
        return _key_of(StoredEvent("evt-0", "duplicates.grew", body, "duplicates", 1, 0.0))

    assert key({"group_id": "dup-a", "size": 3}) == "group dup-a"
    assert key({"streamer_id": "s1", "group_id": "dup-a"}) == "streamer s1"
    assert key({"reason": "x"}) == "duplicates.grew"
