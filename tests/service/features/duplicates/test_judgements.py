"""Judgements that contradict each other are settled a few at a time."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from service.features.duplicates import judgements
from service.features.duplicates.judgements import Judgements
from service.store.duplicates import JudgementRecord
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.duplicates.judgements import RedisJudgements
from service.store.redis.store import RedisStore
from tests.service.store.records import until

pytestmark = pytest.mark.anyio
ASKED, AT_ONCE = 6, 2


class Counted(RedisJudgements):
    """Counts pages that were read."""

    read = 0

    async def page(
        self, after: str, limit: int, streamer_id: str | None = None
    ) -> tuple[list[JudgementRecord], str | None]:
        found = await super().page(after, limit, streamer_id)
        self.read += 1
        return found


@pytest.fixture
async def store(embedded: EmbeddedStore) -> AsyncIterator[RedisStore]:
    async with Redis.from_url(embedded.url) as admin:
        await admin.flushall()
    opened = await RedisStore(embedded.url).open()
    yield opened
    await opened.close()


async def test_many_who_ask_wait_for_few_threads(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle, may_end, lock = judgements.settle, threading.Event(), threading.Lock()
    inside, most = 0, 0

    def watched(found: Any) -> Any:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        may_end.wait(60)
        with lock:
            inside -= 1
        return settle(found)

    monkeypatch.setattr(judgements, "settle", watched)
    monkeypatch.setattr(judgements, "_FEW", -1)
    stored = Counted(store.client)
    asked = Judgements(store, stored, lambda: None)
    left = [asyncio.create_task(asked.page(None, "", 10)) for _ in range(AT_ONCE)]
    await until(lambda: inside == AT_ONCE)
    for one in left:  # their threads work on, and nobody takes their places
        one.cancel()
    answers = [asyncio.create_task(asked.page(None, "", 10)) for _ in range(ASKED)]
    await until(lambda: stored.read == AT_ONCE + ASKED)
    may_end.set()
    assert await asyncio.gather(*answers) == [([], None)] * ASKED  # nobody is refused
    assert most == AT_ONCE
