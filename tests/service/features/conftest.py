"""A real store for use-cases without a service."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.store.embedded.supervisor import EmbeddedStore


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def embedded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedStore]:
    folder: Path = tmp_path_factory.mktemp("embedded") / "store"
    async with EmbeddedStore(folder) as running:
        yield running
