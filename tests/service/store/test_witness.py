"""What a store acknowledged is known, whatever happens to it."""

import contextlib
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.errors import DataLost
from service.settings import Settings
from service.store.base import LogGap, Position
from service.store.embedded.supervisor import EmbeddedStore
from service.store.opening import check_data
from service.store.redis.backup import ArchivedStore
from service.store.redis.durability import count_on
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


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("redis://:old@store:6379/0", "redis://:new%2F1@store:6379/0"),
        ("rediss://:old@streamers/0", "rediss://service:new@streamers/0"),
        ("redis://store:6379/0", "redis://:first@store:6379/0"),
        ("redis://store?db=1&password=old", "redis://store?db=1&username=a&password=new"),
        ("unix://:old@/run/store.sock?db=1", "unix://:new@/run/store.sock?db=1"),
    ],
)
def test_another_password_leads_to_the_same_store(before: str, after: str, tmp_path: Path) -> None:
    Witness(tmp_path, before).write(Position("e", 7, "m"))
    with pytest.raises(DataLost):
        Witness(tmp_path, after).check(Position("e", 5, "k"), None)
    Witness(tmp_path, after).remove()
    assert list(tmp_path.iterdir()) == []


def test_stores_at_other_places_are_others(tmp_path: Path) -> None:
    places = ("redis://:p@a/0", "redis://:p@b/0", "redis://:p@a/1", "redis://:p@a?db=2")
    assert len({Witness(tmp_path, url).path for url in places}) == 4


def named_as_before(url: str) -> str:
    return f"acknowledged-{hashlib.sha256(url.encode()).hexdigest()[:12]}"


def test_what_an_older_release_remembered_holds_and_is_taken_over(tmp_path: Path) -> None:
    url = "redis://:p@store/0"
    older, witness = tmp_path / named_as_before(url), Witness(tmp_path, url)
    witness.write(Position("e", 7, "m"))
    witness.path.rename(older)
    with pytest.raises(DataLost):
        witness.check(Position("", 0), None)
    assert witness.read() == Position("e", 7, "m")
    witness.write(Position("e", 9, "n"))  # whose name tells nobody whether a password is right
    assert list(tmp_path.iterdir()) == [witness.path]
    witness.path.rename(older)
    witness.remove()
    assert witness.read() is None


def test_a_store_without_a_password_keeps_the_name_of_its_file(tmp_path: Path) -> None:
    url = "redis://store:6379/0"
    assert Witness(tmp_path, url).path.name == named_as_before(url)
    Witness(tmp_path, url).write(Position("e", 7, "m"))
    assert Witness(tmp_path, url).read() == Position("e", 7, "m")


@pytest.mark.anyio
async def test_numbers_that_were_lost_do_not_come_again(store: RedisStore) -> None:
    await put(store, "a")
    end = await store.position()
    await count_on(store.client, "ss:", 1)
    assert await store.position() == end
    await count_on(store.client, "ss:", 7)
    behind = await store.position()
    assert behind.sequence == 7
    with pytest.raises(LogGap, match="another history"):
        await store.check_continues(end)
    assert await put(store, "b") == 8
    await store.check_continues(behind)


@pytest.mark.anyio
async def test_only_a_store_that_lost_something_counts_on(
    store: RedisStore, embedded: EmbeddedStore, tmp_path: Path
) -> None:
    settings = Settings.model_validate(
        {
            "bundle": tmp_path,
            "data_dir": tmp_path,
            "redis_url": embedded.url,
            "accept_data_loss": True,
        }
    )
    await put(store, "a")
    async with contextlib.aclosing(await ArchivedStore(embedded.url).open()) as opened:
        end, of_another = await opened.position(), Position("of another store", 90, "m")
        witness = await check_data(opened, of_another, settings, counts_on=True)
        assert await opened.position() == end  # or all services on it would begin anew
        assert witness is not None
        witness.write(replace(end, sequence=7))
        await check_data(opened, None, settings)  # by who only looks
        assert await opened.position() == end
        await check_data(opened, None, settings, counts_on=True)
        assert (await opened.position()).sequence == 7


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
