"""One real store for all tests of this folder, emptied between them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.client import Limits
from service.store.redis.store import RedisStore

FAST = Limits(connect_timeout_s=10.0, answer_timeout_s=10.0, follow_block_s=0.2)

OpenStore = Callable[..., Awaitable[RedisStore]]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
async def embedded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedStore]:
    folder: Path = tmp_path_factory.mktemp("embedded") / "store"
    async with EmbeddedStore(folder) as running:
        yield running


@pytest.fixture
async def admin(embedded: EmbeddedStore) -> AsyncIterator[Any]:
    """A plain client, for what an operator does; the store is empty before and after."""
    client: Any = Redis.from_url(embedded.url)
    await client.flushall()
    yield client
    await client.flushall()
    await client.aclose()


@pytest.fixture
async def open_store(embedded: EmbeddedStore, admin: Any) -> AsyncIterator[OpenStore]:
    """Opens stores on the empty server, and closes them."""
    opened: list[RedisStore] = []

    async def open_one(url: str = embedded.url, **kwargs: Any) -> RedisStore:
        store = RedisStore(url, **{"limits": FAST, **kwargs})
        opened.append(store)
        return await store.open()

    yield open_one
    for store in opened:
        await store.close()


@pytest.fixture
async def store(open_store: OpenStore) -> RedisStore:
    return await open_store()
