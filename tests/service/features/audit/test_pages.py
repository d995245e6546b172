"""Pages and exports of the audit log are read by the threads of the lanes, in slices."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service.engine.work.lanes import Lane, Lanes
from service.errors import InvalidRequest
from service.features.audit import service as pages_module
from service.features.audit.chain import FOLDER, files_in
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


@pytest.mark.parametrize("block_bytes", [100, 1000, 1 << 16])
async def test_the_newest_come_first(
    tmp_path: Path, lanes: Lanes, monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    """Also of blocks that are shorter than a line, and beside a line that is being written."""
    monkeypatch.setattr(pages_module, "_BLOCK_BYTES", block_bytes)
    chain_of(tmp_path / FOLDER, 300, file_bytes=4000)
    expected = [e["n"] for e in written(tmp_path)]
    with files_in(tmp_path / FOLDER)[-1].path.open("ab") as file:
        file.write(b'{"kind":"request"')
    pages = AuditPages(tmp_path / FOLDER, lanes)
    found: list[int] = []
    cursor: str | None = None
    while True:
        page = await pages.page(Wanted(), cursor, 70, order="newest")
        assert len(page.lines) <= 70
        found += [fields["n"] for _, _, fields in page.lines]
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
    assert found == expected[::-1]
    with pytest.raises(InvalidRequest, match="order=newest"):
        await pages.page(Wanted(), cursor, 70)


async def test_a_page_of_the_newest_reads_no_more_than_it_needs(
    tmp_path: Path, lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_module, "_PART_BYTES", 2000)
    chain_of(tmp_path / FOLDER, 300, file_bytes=4000)
    pages = AuditPages(tmp_path / FOLDER, lanes)
    page = await pages.page(Wanted(key_id="nobody's"), None, 70, order="newest")
    assert page.lines == []
    assert page.next_cursor is not None


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


@pytest.mark.parametrize("order", ["oldest", "newest"])
@pytest.mark.parametrize("offset", [10**6, 1 << 64])
async def test_a_place_behind_the_end_is_no_cursor(
    tmp_path: Path, lanes: Lanes, order: Any, offset: int
) -> None:
    chain_of(tmp_path / FOLDER, 3)
    (file,) = files_in(tmp_path / FOLDER)
    place = f"{file.path.name}:{offset}" + (":newest" if order == "newest" else "")
    cursor = base64.urlsafe_b64encode(place.encode()).decode()
    with pytest.raises(InvalidRequest, match="cursor"):
        await AuditPages(tmp_path / FOLDER, lanes).page(Wanted(), cursor, 70, order=order)
