"""Pages and exports of the audit log are read by the threads of the lanes, in slices."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.engine.work.lanes import Lane, Lanes
from service.features.audit import service as pages_module
from service.features.audit.chain import FOLDER
from service.features.audit.service import AuditPages, Wanted
from service.settings import Work
from tests.service.features.audit.logs import chain_of, written

pytestmark = pytest.mark.anyio


@pytest.fixture
async def lanes() -> AsyncIterator[Lanes]:
    lanes = Lanes(Work(threads=2))
    lanes.start()
    yield lanes
    lanes.stop()


async def test_lanes_read_the_files(tmp_path: Path, lanes: Lanes) -> None:
    chain_of(tmp_path / FOLDER, 300, file_bytes=4000)
    pages = AuditPages(tmp_path / FOLDER, lanes)
    expected = [e["n"] for e in written(tmp_path)]
    found: list[int] = []
    cursor: str | None = None
    while True:
        page = await pages.page(Wanted(), cursor, 70)
        assert len(page.lines) <= 70
        found += [fields["n"] for _, _, fields in page.lines]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == expected
    assert lanes.counts[Lane.HEAVY].taken >= 5
    assert lanes.counts[Lane.BULK].taken == 0


async def test_an_export_gives_way(
    tmp_path: Path, lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain_of(tmp_path / FOLDER, 300, file_bytes=4000)
    monkeypatch.setattr(pages_module, "_PART_LINES", 100)
    pages = AuditPages(tmp_path / FOLDER, lanes)
    parts = [part async for part in pages.export(Wanted())]
    assert len(parts) > 3
    assert sum(map(len, parts)) == len(written(tmp_path))
    assert lanes.counts[Lane.BULK].taken >= len(parts)
    assert lanes.counts[Lane.HEAVY].taken == 0
