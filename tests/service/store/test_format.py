"""No release works on a store whose format only a newer one knows."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

import pytest

from service.commands.stores import opened_store
from service.errors import NewerStore
from service.files.checksummed import ChecksummedFolder
from service.settings import Settings
from service.store import opening
from service.store.embedded.supervisor import EmbeddedStore
from service.store.opening import open_store as open_store_of
from service.store.redis.backup import ArchivedStore
from service.store.redis.connecting.format import FORMAT, raise_format
from service.store.redis.store import RedisStore
from tests.service.store.conftest import FAST, OpenStore
from tests.service.store.records import put, until

pytestmark = pytest.mark.anyio
NEWER = FORMAT + 1


@pytest.fixture
async def restored(embedded: EmbeddedStore, admin: Any) -> AsyncIterator[ArchivedStore]:
    opened = await ArchivedStore(embedded.url, limits=FAST, prefix="other:").open()
    async with aclosing(opened):
        yield opened


async def serve(url: str, folder: Path) -> None:
    given: dict[str, Any] = {"bundle": folder, "data_dir": folder, "redis_url": url}
    async with AsyncExitStack() as stack:
        await open_store_of(Settings(**given), None, stack)


async def test_who_serves_a_store_raises_its_format(
    embedded: EmbeddedStore, store: RedisStore, admin: Any, tmp_path: Path
) -> None:
    await put(store, "a")
    assert await admin.hget("ss:meta", "format") is None  # whoever only opens it changes nothing
    for before in (None, FORMAT - 1, FORMAT):
        if before is not None:
            await admin.hset("ss:meta", "format", before)
        await serve(embedded.url, tmp_path)
        assert await admin.hget("ss:meta", "format") == str(FORMAT).encode()
    assert await store.digests(["a"]) != [None]


@pytest.mark.parametrize("limit", ["min-replicas-to-write", "maxmemory"])
async def test_a_store_that_takes_no_writes_at_the_start_tells_its_format_later(
    embedded: EmbeddedStore,
    store: RedisStore,
    admin: Any,
    tmp_path: Path,
    limit: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opening, "_AGAIN_S", 0.0)
    caplog.set_level(logging.INFO)
    await put(store, "a")
    given: dict[str, Any] = {"bundle": tmp_path, "data_dir": tmp_path, "redis_url": embedded.url}
    tried: list[str] = []
    raise_format_of = ArchivedStore.raise_format

    async def told(self: ArchivedStore) -> None:
        tried.append(limit)
        await raise_format_of(self)

    monkeypatch.setattr(ArchivedStore, "raise_format", told)
    await admin.config_set(limit, 1)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(admin.config_set, limit, 0)
        await open_store_of(Settings(**given), None, stack)
        await until(lambda: len(tried) > 3)
        assert await admin.hget("ss:meta", "format") is None
        await admin.config_set(limit, 0)
        await until(lambda: "is kept" in caplog.text)
        assert await admin.hget("ss:meta", "format") == str(FORMAT).encode()
        times = len(tried)
    assert len(tried) == times
    assert caplog.text.count("is not kept yet") == 1


async def test_the_embedded_store_tells_its_format(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        settings = Settings(bundle=tmp_path, data_dir=tmp_path)
        store = (await open_store_of(settings, None, stack)).store
        assert await store.client.ask("HGET", "ss:meta", "format") == str(FORMAT).encode()


async def test_a_newer_format_is_refused(
    embedded: EmbeddedStore,
    store: RedisStore,
    open_store: OpenStore,
    admin: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await admin.hset("ss:meta", "format", NEWER)
    before = await admin.hgetall("ss:meta")
    monkeypatch.setenv("REDIS_URL", embedded.url)
    said = rf"of format {NEWER}, .* up to {FORMAT}: install the newer release .* restore the backup"
    with pytest.raises(NewerStore, match=said):
        await serve(embedded.url, tmp_path)
    with pytest.raises(NewerStore, match=said):
        await open_store()
    with pytest.raises(NewerStore, match=said):
        async with opened_store(tmp_path):
            pass
    with pytest.raises(NewerStore, match=said):  # of one that was upgraded since it was opened
        await raise_format(store.client, "ss:meta")
    assert await admin.hgetall("ss:meta") == before


async def test_a_restored_store_has_the_format_of_the_release_that_restored_it(
    embedded: EmbeddedStore, store: RedisStore, restored: ArchivedStore, admin: Any, tmp_path: Path
) -> None:
    await put(store, "a")
    async with aclosing(await ArchivedStore(embedded.url, limits=FAST).open()) as source:
        await source.back_up(tmp_path / "copy")
    await restored.restore(ChecksummedFolder(tmp_path / "copy"))
    assert await admin.hget("other:meta", "format") == str(FORMAT).encode()
