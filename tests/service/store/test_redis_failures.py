"""What callers are told when the server refuses, is gone, or is weaker than it should be."""

import asyncio
import contextlib
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ResponseError

from service.commands.stores import opened_store
from service.errors import StoreFull, StoreUnavailable, UnsafeConfiguration
from service.store.base import Delete, Written
from service.store.embedded.disk_guard import DiskGuard
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.client import CommandRefused, Limits
from service.store.redis.packing.dictionary import Dictionary, packed_by
from service.store.redis.packing.training import dictionary_of
from service.store.redis.store import RedisStore
from tests.service.store.conftest import FAST, OpenStore
from tests.service.store.records import put, read_log, remove, scanned, upsert

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def setting(admin: Any, **values: str) -> AsyncIterator[None]:
    """Other settings of the server for a moment."""
    names = {name: name.replace("_", "-") for name in values}
    before = {n: (await admin.config_get(option))[option] for n, option in names.items()}
    try:
        for name, value in values.items():
            await admin.config_set(names[name], value)
        yield
    finally:
        for name, value in before.items():
            await admin.config_set(names[name], value)


async def test_full_memory_refuses_writes_and_changes_nothing(
    store: RedisStore, admin: Any
) -> None:
    await put(store, "a")
    await put(store, "b")
    async with setting(admin, maxmemory="1"):
        with pytest.raises(StoreFull):
            await put(store, "c")
        with pytest.raises(StoreFull):
            await store.write([upsert("a", "new"), Delete("b")])
        assert (await store.position()).sequence == 2
        assert sorted(await scanned(store)) == ["a", "b"]
        assert await remove(store, "a") == 3  # frees memory, so it is allowed
    assert await put(store, "c") == 4
    assert [entry.sequence for entry in await read_log(store, 0, 4)] == [1, 2, 3, 4]


async def packed(store: RedisStore, texts: Sequence[str]) -> Dictionary:
    """Write profiles `s0`, `s1`, … into a store that has a dictionary; the dictionary."""
    made = await store.packing.add(dictionary_of([text.encode() for text in texts]))
    for number, text in enumerate(texts[:3]):
        await put(store, f"s{number}", text)
    return made


@pytest.mark.parametrize("is_there", [True, False])
async def test_a_packed_store_that_takes_nothing_gives_and_deletes(
    store: RedisStore, admin: Any, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    texts = [f'{{"bio": "words that all of them show", "tags": ["{i}"]}}' for i in range(300)]
    made = await packed(store, texts)
    if not is_there:
        await admin.delete("ss:dictionaries")
    monkeypatch.setattr("service.store.redis.packing.packing._LOOK_S", 0.0)
    for refusing in ({"maxmemory": "1"}, {"min_replicas_to_write": "1"}):
        async with setting(admin, **refusing):
            # What is written while the store lacks the dictionary has to be readable without it.
            written_by = made if is_there else None
            found = await store.packing.active()
            assert (found and found.id) == (written_by and written_by.id)
            ((one,),) = [await store.profiles(["s1"])]
            assert one is not None
            assert one.profile.decode() == texts[1]
    async with setting(admin, maxmemory="1"):
        assert await remove(store, "s2") == 4
    await put(store, "s2", texts[2])  # it takes what it lacks once it takes anything
    assert await store.packing.all() == {made.id.hex(): made.content}
    assert packed_by(await admin.hget("ss:record:s2", "profile")) == made.id


async def test_a_write_of_nothing_asks_for_no_dictionary(store: RedisStore, admin: Any) -> None:
    before = (await admin.info("commandstats")).get("cmdstat_hget", {"calls": 0})["calls"]
    assert await store.packing.operations([Delete("a")]) == [Delete("a")]
    assert await store.packing.pack_rows([]) == []
    after = (await admin.info("commandstats")).get("cmdstat_hget", {"calls": 0})["calls"]
    assert after == before


@pytest.mark.parametrize("one_step", [False, True])
async def test_many_commands_are_refused_as_one_is(
    store: RedisStore, admin: Any, one_step: bool
) -> None:
    ask = store.client.ask_together if one_step else store.client.ask_all
    commands = [("HGET", "h", "a"), ("HSET", "h", "a", "what MISCONF is")]
    async with setting(admin, min_replicas_to_write="1"):
        with pytest.raises(CommandRefused) as told:
            await ask(commands)
        assert re.fullmatch(r"the store refuses: NOREPLICAS [^'()#]+", told.value.detail)
    async with setting(admin, maxmemory="1"):
        with pytest.raises(StoreFull, match=r"^the store takes no more: (OOM )?command not"):
            await ask(commands)
    await store.client.ask("SET", "h", "a string")
    with pytest.raises(ResponseError, match="WRONGTYPE"):  # whatever its arguments say
        await ask(commands[1:])


async def test_a_read_only_server_refuses_writes(store: RedisStore, admin: Any) -> None:
    await put(store, "a")
    async with setting(admin, min_replicas_to_write="1"):
        with pytest.raises(StoreUnavailable, match="NOREPLICAS"):
            await put(store, "b")
        with pytest.raises(StoreUnavailable):
            await remove(store, "a")
    assert (await store.position()).sequence == 1


class Full(DiskGuard):
    def allows_writes(self, *, trial: bool) -> bool:
        return False


async def test_a_command_says_that_its_store_has_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    async with EmbeddedStore(tmp_path / "store") as running:
        opened = await RedisStore(running.url, limits=FAST).open()
        await put(opened, "a")
        await opened.close()
    # Of stores that are begun from here on: the one that tests share would refuse their writes too.
    monkeypatch.setattr("service.store.embedded.supervisor.DiskGuard", Full)
    async with opened_store(tmp_path) as store:
        assert await store.count() == 1
        with pytest.raises(StoreFull, match="disk is full: reads work"):
            await store.packing.add(b"some content")


async def test_a_server_that_hangs_is_unavailable(
    store: RedisStore, embedded: EmbeddedStore, open_store: OpenStore
) -> None:
    hasty = await open_store(limits=Limits(answer_timeout_s=1.5, follow_block_s=0.1))
    assert embedded.pid is not None
    os.kill(embedded.pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await put(hasty, "a")
        with pytest.raises(StoreUnavailable):
            await hasty.get(["a"])
        assert 2.9 < time.monotonic() - begun < 60
    finally:
        os.kill(embedded.pid, signal.SIGCONT)
    await put(hasty, "b")
    assert await store.list_ids("", 10) in (["b"], ["a", "b"])


async def test_cut_connections_are_made_again(store: RedisStore, admin: Any) -> None:
    await asyncio.gather(*(put(store, f"s{i}") for i in range(8)))
    await admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await asyncio.sleep(0.05)
    await asyncio.gather(*(put(store, f"t{i}") for i in range(8)))
    assert await store.count() == 16


async def test_more_commands_than_connections_wait(open_store: OpenStore) -> None:
    store = await open_store(limits=Limits(connections=2))
    await asyncio.gather(*(put(store, f"s{i}") for i in range(40)))
    assert await store.count() == 40


async def test_cancelled_commands_cost_no_connection(open_store: OpenStore) -> None:
    store = await open_store(limits=Limits(connections=2, connect_timeout_s=10))
    for delay in range(40):
        task = asyncio.create_task(put(store, "a"))
        await asyncio.sleep(delay * 2e-5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await asyncio.gather(*(put(store, f"s{i}") for i in range(10)))
    assert set(await store.list_ids("", 20)) >= {f"s{i}" for i in range(10)}


async def test_a_script_that_the_server_forgot_is_taught_again(
    store: RedisStore, admin: Any
) -> None:
    await put(store, "a")
    await admin.script_flush()
    assert await store.write([upsert("a", "new", 1)]) == [Written(2, created=False)]


async def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        await RedisStore(f"unix://{tmp_path}/nothing.sock", limits=FAST).open()


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", "redis://localhost:port"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(UnsafeConfiguration):
        RedisStore(url)


async def test_the_embedded_store_is_durable(store: RedisStore) -> None:
    assert store.durability == "always"


async def test_a_weak_server_is_reported(
    store: RedisStore, open_store: OpenStore, admin: Any
) -> None:
    async with setting(admin, appendfsync="everysec"):
        weak = await open_store()
    assert weak.durability.startswith("everysec: ")
    # Its every run is a history of its own, since it may go back when it crashes.
    epoch = (await store.position()).epoch
    run_id = (await admin.info("server"))["run_id"]
    assert (await weak.position()).epoch == f"{epoch}.{run_id}"
    async with setting(admin, maxmemory="1gb", maxmemory_policy="allkeys-lru"):
        assert (await open_store()).durability.startswith("evicting: ")
    async with setting(admin, no_appendfsync_on_rewrite="yes"):
        assert (await open_store()).durability.startswith("mostly: ")


async def test_a_server_that_hides_its_settings(
    embedded: EmbeddedStore, open_store: OpenStore, admin: Any
) -> None:
    await admin.execute_command("ACL", "SETUSER", "app", "on", ">pass", "~*", "+@all", "-config")
    try:
        socket = embedded.url.removeprefix("unix://")
        store = await open_store(f"unix://app:pass@{socket}")
        assert store.durability.startswith("unknown: ")
        assert await put(store, "a") == 1
        with pytest.raises(StoreUnavailable):
            await open_store(f"unix://app:wrong@{socket}")
    finally:
        await admin.execute_command("ACL", "DELUSER", "app")
