"""A real store for layouts, groups and their use-cases, emptied between tests."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from service.engine.work.lanes import Lanes
from service.settings import Work
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.store import RedisStore


@pytest.fixture
async def store(embedded: EmbeddedStore) -> AsyncIterator[RedisStore]:
    async with Redis.from_url(embedded.url) as admin:
        await admin.flushall()
    opened = RedisStore(embedded.url)
    yield await opened.open()
    await opened.close()


@pytest.fixture
async def lanes(anyio_backend: str) -> AsyncIterator[Lanes]:
    running = Lanes(Work(threads=2))
    running.start()
    yield running
    running.stop()
