"""A deployment that tests of matching share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from model_export.contract.bundle import Bundle
from service.engine.evidence.engine import Evidence
from service.engine.work.lanes import Lanes
from service.settings import Work
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.backup import ArchivedStore
from tests.service.features.watchlists.deployment import MODEL, Deployment


@pytest.fixture(scope="module")
def evidence(bundle: Path) -> Evidence:
    return Evidence(Bundle(bundle))


@pytest.fixture
async def deployment(tmp_path: Path, evidence: Evidence) -> AsyncIterator[Deployment]:
    lanes = Lanes(Work(threads=2))
    lanes.start()
    async with EmbeddedStore(tmp_path / "store") as embedded:
        store = await ArchivedStore(embedded.url).open()
        await store.set_model_version(MODEL)
        yield Deployment(store, evidence, lanes)
        await store.close()
    lanes.stop()
