"""Saved indexes are checked beside a service that saves others."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from service.commands.storage.verify import Report, check_snapshots
from service.features.operations.verification import Findings, Stored, check_store
from service.files.checksummed import MANIFEST
from service.store.progress import tell_nobody
from service.store.redis.backup import ArchivedStore
from tests.service.engine.replica.test_follower import LIMITS, upsert
from tests.service.engine.replica.test_snapshots import Parts, scenario


class Saving(ArchivedStore):
    """A store beside whose reading, once, something else happens."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def changed_since(self, after: int, mark: str = "") -> set[str]:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return await super().changed_since(after, mark)


async def checked(
    parts: Parts, stored: Stored, meanwhile: Callable[[], Awaitable[None]] | None = None
) -> tuple[int, list[dict[str, Any]]]:
    """The differences, and what is told of each saved index."""
    report = Report(is_json=True)
    store = await Saving(parts.embedded.url, limits=LIMITS).open()
    store.meanwhile = meanwhile
    await check_snapshots(parts.folder / "index", stored, store, report)
    await store.close()
    return report.differences, report.parts


async def stored_in(parts: Parts) -> Stored:
    store = await ArchivedStore(parts.embedded.url, limits=LIMITS).open()
    found = await check_store(store, Findings(), tell_nobody)
    await store.close()
    return found


async def saved_again(parts: Parts, name: str = "s1") -> None:
    """A streamer is written, and the index saved anew."""
    await parts.store.write([upsert(name, 7)])
    snapshots = parts.snapshots()
    async with parts.following(snapshots) as follower:
        assert follower.complete is not None
        assert await asyncio.to_thread(snapshots.write, *follower.complete)


def test_an_index_that_was_saved_since_the_store_was_read_is_no_difference(
    tmp_path: Path,
) -> None:
    async def run(parts: Parts) -> None:
        await parts.saved()
        stored = await stored_in(parts)
        await saved_again(parts)
        await saved_again(parts, "new")
        differences, (one,) = await checked(parts, stored)
        assert (differences, one["streamers"]) == (0, 91)

    scenario(tmp_path, run)


@pytest.mark.parametrize("is_all_gone", [True, False])
def test_an_index_that_is_replaced_meanwhile_is_no_damage(
    tmp_path: Path, is_all_gone: bool
) -> None:
    async def run(parts: Parts) -> None:
        await parts.saved()
        folder = parts.folder / "index"
        (first,) = sorted(folder.glob("0*"))
        second = first.with_name("0" * (len(first.name) - 1) + "7")
        shutil.copytree(first, second)
        stored = await stored_in(parts)

        async def replaced() -> None:  # while the first one is compared
            await saved_again(parts)
            if not is_all_gone:  # the one before is being removed still
                second.mkdir()
                (second / MANIFEST).write_bytes(b"")

        differences, (one, gone, new) = await checked(parts, stored, replaced)
        assert differences == 0
        assert one["what"].endswith(str(first))
        assert gone == {
            "part": "snapshot",
            "what": str(second),
            "unused_because": "a running service removed it, as it does when it has saved another "
            "one",
        }
        assert new["what"].startswith("at 111, ")
        assert new["differences"] == 0

    scenario(tmp_path, run)
