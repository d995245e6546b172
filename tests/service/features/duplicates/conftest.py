"""What tests of evaluations share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.engine.work.lanes import Lanes
from service.settings import Work
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.store import RedisStore
from tests.service.features.duplicates.corpora import Corpora


@pytest.fixture
async def corpora(tmp_path: Path) -> AsyncIterator[Corpora]:
    async with EmbeddedStore(tmp_path / "store") as running:
        store = await RedisStore(running.url).open()
        lanes = Lanes(Work(threads=2))
        lanes.start()
        yield Corpora(store, lanes)
        lanes.stop()
        await store.close()
