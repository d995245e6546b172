"""A disk without room: reads go on, writes are refused, nothing acknowledged is lost."""

import asyncio
import contextlib
import resource
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from service.errors import StoreFull, StoreUnavailable, Unavailable
from service.store.embedded.disk_guard import DiskGuard
from service.store.embedded.patience import Patience
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.store import RedisStore
from tests.service.store.conftest import FAST
from tests.service.store.records import put, remove, scanned, until

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

HASTY = Patience(watch_s=0.1, first_full_s=0.5)


@contextlib.asynccontextmanager
async def connection(embedded: EmbeddedStore) -> AsyncIterator[RedisStore]:
    store = await RedisStore(embedded.url, limits=FAST, trouble=embedded.trouble).open()
    try:
        yield store
    finally:
        await store.close()


async def fill(store: RedisStore, pause_s: float = 0.0) -> dict[str, int]:
    """Write until the store refuses; what it acknowledged."""
    acknowledged: dict[str, int] = {}
    with contextlib.suppress(Unavailable):
        while len(acknowledged) < 10_000:
            i = f"s{len(acknowledged)}"
            acknowledged[i] = await put(store, i, "x" * 5000)
            await asyncio.sleep(pause_s)
    return acknowledged


def forbid_growth(embedded: EmbeddedStore, folder: Path, room_bytes: int) -> None:
    """Let this run of the store write so much more, like a quota; its next run is free again."""
    size = max(path.stat().st_size for path in folder.glob("appendonlydir/*"))
    if (pid := embedded.pid) is None:
        raise ProcessLookupError
    limit = size + room_bytes
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, limit))


async def test_a_store_that_can_not_write_ends_and_comes_back_read_only(tmp_path: Path) -> None:
    patience = Patience(watch_s=0.1, first_full_s=60)
    async with (
        EmbeddedStore(tmp_path, patience=patience) as embedded,
        connection(embedded) as store,
    ):
        await put(store, "first")
        forbid_growth(embedded, tmp_path, 100_000)
        acknowledged = await fill(store)
        assert 10 < len(acknowledged) < 100
        await until(lambda: embedded.state == "read_only")
        assert "AOF" in str(embedded.last_error)
        assert "disk is full" in str(embedded.trouble())
        # Reads work, writes are refused with the right error, and nothing acknowledged is lost.
        assert {i: e.version for i, e in (await scanned(store)).items()} == {
            "first": 1
        } | acknowledged
        with pytest.raises(StoreFull, match="disk is full"):
            await put(store, "more")
        with pytest.raises(StoreFull):
            await remove(store, "first")
        embedded._disk._now_s = lambda: time.monotonic() + patience.first_full_s  # it is over
        await until(lambda: embedded.state == "ready")
        assert await put(store, "more") == len(acknowledged) + 2
        assert embedded.restarts == 1


async def test_a_disk_that_stays_full_is_not_a_reason_to_spin(tmp_path: Path) -> None:
    patience = Patience(watch_s=0.05, first_full_s=0.2)
    async with (
        EmbeddedStore(tmp_path, patience=patience) as embedded,
        connection(embedded) as store,
    ):
        begun = time.monotonic()
        while embedded.restarts < 4:
            if embedded.state == "ready":
                with contextlib.suppress(ProcessLookupError):  # it is just ending
                    forbid_growth(embedded, tmp_path, 0)
            with contextlib.suppress(Unavailable):
                await put(store, "a")
            await asyncio.sleep(0.01)
        assert time.monotonic() - begun >= 1.4  # at 0, .2, .6 and 1.4 s


async def test_writes_stop_before_the_disk_is_full(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path) as embedded, connection(embedded) as store:
        await put(store, "a")
    async with (
        EmbeddedStore(tmp_path, reserve_bytes=1 << 60) as embedded,
        connection(embedded) as store,
    ):
        assert embedded.state == "read_only"
        assert [stored is not None for stored in await store.get(["a"])] == [True]
        with pytest.raises(StoreFull):
            await put(store, "b")


async def test_an_empty_store_on_a_full_disk_can_not_be_opened(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path, reserve_bytes=1 << 60) as embedded:
        with pytest.raises(StoreFull):
            await RedisStore(embedded.url, trouble=embedded.trouble).open()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("reserve_bytes", [0, 2 << 20])
async def test_a_real_disk_that_is_full(small_disk: Path, reserve_bytes: int) -> None:
    folder = small_disk / "store"
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * (3 << 20))
    options = {"reserve_bytes": reserve_bytes, "patience": HASTY}
    async with EmbeddedStore(folder, **options) as embedded, connection(embedded) as store:
        # With a reserve the supervisor is in time when writes come at less than full speed.
        acknowledged = await fill(store, pause_s=0.01 if reserve_bytes else 0.0)
        assert acknowledged
        await until(lambda: embedded.state == "read_only")
        await asyncio.sleep(1.0)  # it stays so, however often it looks
        assert embedded.state == "read_only"
        with pytest.raises(StoreFull):
            await put(store, "more")
        assert embedded.restarts <= 1
        assert (embedded.restarts == 0) == (reserve_bytes > 0)
        found = {i: e.version for i, e in (await scanned(store)).items()}
        assert found.items() >= acknowledged.items()
    # A service that starts while the disk is full serves reads.
    async with EmbeddedStore(folder, **options) as embedded, connection(embedded) as store:
        assert embedded.state == "read_only"
        assert {i: e.version for i, e in (await scanned(store)).items()} == found
        ballast.unlink()
        await until(lambda: embedded.state == "ready")
        assert await put(store, "more") == len(found) + 1
        with contextlib.suppress(StoreUnavailable):
            await remove(store, "more")


def test_the_guard_waits_longer_each_time(tmp_path: Path) -> None:
    now = 1000.0
    guard = DiskGuard(tmp_path, 0, first_delay_s=2.0, longest_delay_s=7.0, now_s=lambda: now)
    assert guard.allows_writes(trial=True)
    for delay_s in (2.0, 4.0, 7.0, 7.0):
        guard.store_could_not_write()
        now += delay_s - 0.1
        assert not guard.allows_writes(trial=True)
        now += 0.2
        assert guard.allows_writes(trial=True)
    now += 8.0  # it wrote for long enough: the next time is a first time
    guard.store_could_not_write()
    now += 2.1
    assert guard.allows_writes(trial=True)


def test_a_disk_that_is_gone_has_no_room(tmp_path: Path) -> None:
    assert not DiskGuard(tmp_path / "gone", 0, 1.0, 1.0).allows_writes(trial=False)
