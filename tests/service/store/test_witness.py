"""The witness's keeper goes on, whatever the store answers."""

from pathlib import Path
from typing import Any

import pytest

from service.store.redis.store import RedisStore
from service.store.witness import Witness, WitnessKeeper
from tests.service.store.records import put, until

pytestmark = pytest.mark.anyio


async def test_it_outlives_an_answer_that_it_does_not_expect(
    store: RedisStore, admin: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    witness = Witness(tmp_path)
    keeper = WitnessKeeper(store, witness)
    await admin.set("ss:meta", "no hash")
    keeper.start()
    await until(lambda: "WRONGTYPE" in caplog.text)
    await admin.delete("ss:meta")
    assert await put(store, "a") == 1
    head = await store.position()
    await until(lambda: witness.read() == head)
    await admin.set("ss:meta", "no hash")
    await keeper.stop()
    assert witness.read() == head
