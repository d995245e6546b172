"""Indexes that are not served yet are prepared in the thread of the maintenance."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from service.engine.replica.follower import Follower
from service.engine.replica.maintenance import IndexMaintenance
from service.index.faiss.index import FaissIndex
from service.store.redis.store import RedisStore
from tests.service.engine.replica.test_follower import DIM, MODEL


class Due(FaissIndex):
    """An index that is to be rebuilt once."""

    def __init__(self) -> None:
        super().__init__(DIM, DIM)
        self.times = 0

    def is_due(self) -> bool:
        return self.times == 0

    def rebuild(self, is_stopped: Callable[[], bool] = lambda: False) -> None:
        self.times += 1


def test_whoever_asks_is_answered_also_beside_others(tmp_path: Path) -> None:
    async def scenario() -> None:
        follower = Follower(
            RedisStore(f"unix://{tmp_path}/no"), lambda: FaissIndex(DIM, DIM), MODEL
        )
        maintenance = IndexMaintenance(follower)
        indexes = [Due() for _ in range(4)]
        asked = [asyncio.create_task(maintenance.prepare(index)) for index in indexes]
        await asyncio.sleep(0)  # all have asked
        asked.pop(1).cancel()
        await asyncio.sleep(0)
        maintenance.start()
        async with asyncio.timeout(60):
            await asyncio.gather(*asked)
        await maintenance.stop()
        assert [index.times for index in indexes] == [1, 0, 1, 1]

    asyncio.run(scenario())
