"""`python -m service restore`: replace what is stored with a backup."""

import argparse
import contextlib
import shutil
import time
from collections.abc import AsyncGenerator
from dataclasses import asdict
from pathlib import Path

from service.commands.answers import answer
from service.commands.arguments import using
from service.commands.progress import Progress
from service.commands.stopping import interruptible, undisturbed
from service.commands.stores import STORE, add_data_dir, chunks_dir, external_address, finish
from service.engine.replica.snapshots import newest_place
from service.errors import StartupError
from service.files.checksummed import MANIFEST, ChecksummedFolder, sync_folder
from service.store.base import Position
from service.store.documents import WEBHOOKS
from service.store.embedded.folder import UNFINISHED_STORE, FolderLock
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.backup import ArchivedStore, contents_of
from service.store.witness import Witness


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the backup and the target."""
    parser.add_argument("copy", type=Path, metavar="BACKUP", help="the folder that `backup` wrote")
    add_data_dir(parser)


def run(args: argparse.Namespace) -> int:
    """Check the whole backup, then restore it; no service may run on that data folder."""
    with interruptible():
        return finish(lambda: _restore(args, args.copy, args.data_dir.absolute()))


async def _restore(args: argparse.Namespace, copy: Path, data_dir: Path) -> int:
    if not (copy / MANIFEST).exists():
        raise StartupError(
            f"{copy} has no {MANIFEST}, so it is no backup: give the folder that `backup --out` "
            "wrote"
        )
    source = ChecksummedFolder(copy)
    copied = contents_of(source)
    source.check()
    address, before = external_address(), None
    with Progress("restore", "streamers") as progress:
        if address is None:
            with using("--data-dir", data_dir, "choose a folder where files can be written"):
                place, webhooks, before = await _into_folder(source, data_dir, progress)
        else:
            store = await ArchivedStore(address, chunks_dir=chunks_dir()).open()
            async with contextlib.aclosing(store):
                witness = Witness(data_dir, address.url)
                known = witness.last_number(newest_place(data_dir / "index"))
                place = await store.restore(source, progress.to, after=known)
                webhooks = await store.documents.count(WEBHOOKS)
            witness.remove()

    def show() -> None:
        print(
            f"{copied.streamers} streamers of model {copied.model_version or 'none'} are back, as "
            f"of sequence {copied.sequence}; the next write is {place.sequence + 1}"
        )
        if webhooks:
            print(
                f"{webhooks} webhooks are disabled: enable those that are still wanted, and rotate "
                "the secrets that were rotated since the backup"
            )
        if before is not None:
            print(f"what was stored before is in {before}: remove it when all is well")

    told = {"next_sequence": place.sequence + 1, "webhooks": webhooks, "before": before}
    answer(args, asdict(copied) | told, show)
    return 0


async def _into_folder(
    source: ChecksummedFolder, data_dir: Path, progress: Progress
) -> tuple[Position, int, Path | None]:
    """Restore into a new store and swap it in; the one before is kept under another name.

    Gives also how many webhooks there are, and that other name.

    The new one is complete before the old one is touched. Whoever is killed between the two
    renames leaves no store but an unfinished one, and no service starts on that.
    """
    target, new, witness = data_dir / STORE, data_dir / UNFINISHED_STORE, Witness(data_dir)
    async with _owning(target):
        known = witness.last_number(newest_place(data_dir / "index"))
        shutil.rmtree(new, ignore_errors=True)
        try:
            async with EmbeddedStore(new) as embedded:
                store = await ArchivedStore(
                    embedded.url, chunks_dir=chunks_dir(), trouble=embedded.trouble
                ).open()
                async with contextlib.aclosing(store):
                    place = await store.restore(source, progress.to, after=known)
                    webhooks = await store.documents.count(WEBHOOKS)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        with undisturbed():
            witness.remove()  # what it knows is of the store before
            before = _swap(new, target)
            witness.write(place)
        return place, webhooks, before


def _swap(new: Path, target: Path) -> Path | None:
    """Rename a folder to another's name; the other's new name, if there was one."""
    before = None
    if target.exists():
        before = target.with_name(f"{target.name}.before-{time.strftime('%Y%m%dT%H%M%S')}")
        if before.exists():
            raise StartupError(f"{before} is there already: wait a second")
        target.rename(before)
    new.rename(target)
    sync_folder(target.parent)
    return before


@contextlib.asynccontextmanager
async def _owning(folder: Path) -> AsyncGenerator[None, None]:
    """Lock a store's folder, if it exists.

    Raises:
        FolderInUse: somebody does.
    """
    lock = FolderLock(folder)
    try:
        await lock.acquire(0.1)
    except FileNotFoundError:
        yield  # there is none
        return
    try:
        yield
    finally:
        lock.release()
