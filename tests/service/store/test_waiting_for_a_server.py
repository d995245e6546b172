"""A service waits for an external store that starts beside it, and for no wrong settings."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from service.errors import StoreStartFailed
from service.settings import Settings
from service.store import opening
from tests.service.valkey import Server

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_AGAIN_S", 0.0)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """One that was not started yet."""
    server = Server(tmp_path)
    yield server
    server.kill()


async def open_it(server: Server, tell: Callable[[str], None]) -> str:
    """How durable it is, once it answers."""
    folder = server.folder / "data"
    given: dict[str, Any] = {"bundle": folder, "data_dir": folder, "redis_url": server.url}
    async with AsyncExitStack() as stack:
        opened = await opening.open_store(Settings(**given), None, stack, tell)
        return opened.store.durability


async def test_a_server_that_starts_later(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    told = list[str]()

    def tell(said: str) -> None:
        told.append(said)
        if len(told) == 3:
            server.start()

    assert await open_it(server, tell) == "always"
    assert len(told) == 3
    assert told[0].startswith("the store is waited for: the store is gone: ")
    assert caplog.text.count("the store is waited for, up to 600 s") == 1


async def test_a_server_that_reads_its_log(server: Server) -> None:
    told = list[str]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            writer.write(b"-LOADING Valkey is loading the dataset in memory\r\n")
        writer.close()

    loading = await asyncio.start_server(answer, "127.0.0.1", server.port)

    def tell(said: str) -> None:
        if not told:
            loading.close()
            server.start()
        told.append(said)

    assert await open_it(server, tell) == "always"
    assert "loading the dataset" in told[0]


async def test_an_empty_server_that_no_replica_follows_yet(server: Server) -> None:
    server.start()
    told = list[str]()
    with Redis.from_url(server.url) as admin:
        admin.config_set("min-replicas-to-write", 1)

        def tell(said: str) -> None:
            told.append(said)
            admin.config_set("min-replicas-to-write", 0)

        assert await open_it(server, tell) == "always"
    assert "NOREPLICAS" in told[0]


async def test_a_server_that_wants_a_password_is_not_waited_for(server: Server) -> None:
    server.start()
    told = list[str]()
    with Redis.from_url(server.url) as admin:
        admin.config_set("requirepass", "secret")
    with pytest.raises(StoreStartFailed, match="Authentication required"):
        await open_it(server, told.append)
    assert told == []
