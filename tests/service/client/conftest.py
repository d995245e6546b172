"""A service as a process, and clients of it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.client import AsyncClient, Client
from tests.service.process import Service


@pytest.fixture(scope="module")
def service(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(bundle, tmp_path_factory.mktemp("client") / "data") as service:
        yield service.wait_until_ready()


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    """A client of a service without streamers."""
    with Client(service.url) as client:
        yield client
        left = [streamer.streamer_id for streamer in client.streamers(page_size=1000)]
    asyncio.run(_delete(service.url, left))


async def _delete(url: str, streamer_ids: list[str]) -> None:
    """Many at a time: one after the other would take longer than the tests."""
    ids = iter(streamer_ids)

    async def some(client: AsyncClient) -> None:
        for streamer_id in ids:
            await client.delete(streamer_id)

    async with AsyncClient(url) as client:
        await asyncio.gather(*(some(client) for _ in range(16)))
