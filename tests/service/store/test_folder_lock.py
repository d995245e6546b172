"""Who owns the embedded store's folder."""

import asyncio
import os
from pathlib import Path

import pytest

from service.errors import FolderInUse
from service.store.embedded.folder import FolderLock
from tests.service.store.records import until

pytestmark = pytest.mark.anyio


async def test_a_folder_moved_away_while_waiting_is_not_the_one_that_is_locked(tmp_path: Path):
    folder = tmp_path / "store"
    folder.mkdir()
    before = FolderLock(folder)
    await before.acquire(0)
    waiter = FolderLock(folder)
    waiting = asyncio.create_task(waiter.acquire(30))
    await until(lambda: waiter_opens(folder) == 2)
    folder.rename(tmp_path / "store.before")
    folder.mkdir()
    before.release()
    await waiting
    assert os.path.samestat(os.fstat(waiter.fd), (folder / "lock").stat())
    with pytest.raises(FolderInUse):
        await FolderLock(folder).acquire(0)
    waiter.release()


async def test_a_folder_that_is_gone_is_not_locked(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        await FolderLock(tmp_path / "store").acquire(0)


def waiter_opens(folder: Path) -> int:
    """How many descriptors of this process are the folder's lock."""
    lock = (folder / "lock").stat()
    descriptors = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))
    return sum(d.exists() and os.path.samestat(d.stat(), lock) for d in descriptors)
