"""What a store acknowledged is known, whatever happens to it."""

from pathlib import Path
from typing import Any

import pytest

from service.errors import DataLost
from service.store.base import Position
from service.store.redis.store import RedisStore
from service.store.witness import Witness, WitnessKeeper
from tests.service.store.records import put, until


def test_a_store_that_an_older_release_restored_is_told_apart(tmp_path: Path) -> None:
    witness = Witness(tmp_path)
    witness.write(Position("before", 7, "m"))
    remedy = rf"if an older release restored a backup here, remove the file {witness.path}\)"
    with pytest.raises(DataLost, match=rf"another store was set .* \({remedy}; put a backup back"):
        witness.check(Position("restored", 9, "n"), None)
    with pytest.raises(DataLost) as raised:
        witness.check(Position("before", 5, "k"), None)
    assert "older release" not in str(raised.value)


@pytest.mark.anyio
async def test_it_outlives_an_answer_that_it_does_not_expect(
    store: RedisStore, admin: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    witness = Witness(tmp_path)
    keeper = WitnessKeeper(store, witness)
    await admin.set("ss:meta", "no hash")
    keeper.start()
    await until(lambda: "WRONGTYPE" in caplog.text)
    assert caplog.records[-1].levelname == "ERROR"  # which an alert counts
    await admin.delete("ss:meta")
    assert await put(store, "a") == 1
    head = await store.position()
    await until(lambda: witness.read() == head)
    await admin.set("ss:meta", "no hash")
    await keeper.stop()
    assert witness.read() == head
