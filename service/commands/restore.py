"""`python -m service restore`: a copy that `backup` made, in the place of what is stored."""

import argparse
import contextlib
import shutil
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from service.commands.stores import STORE, add_data_dir, external_url, finish
from service.errors import StartupError
from service.files.checksummed import Sealed, sync_folder
from service.store.base import Position
from service.store.embedded.folder import UNFINISHED_STORE, FolderLock
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.backup import ArchivedStore, copy_in
from service.store.witness import Witness


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """From where, and where to."""
    parser.add_argument("copy", type=Path, metavar="COPY", help="the folder that `backup` wrote")
    add_data_dir(parser)


def run(args: argparse.Namespace) -> int:
    """Check the whole copy, then put it back; no service may run on that data folder."""
    return finish(lambda: _restore(args.copy, args.data_dir.absolute()))


async def _restore(copy: Path, data_dir: Path) -> int:
    sealed = Sealed(copy)
    copied = copy_in(sealed)
    sealed.check()
    url = external_url()
    if url is None:
        place, before = await _into_folder(sealed, data_dir)
    else:
        store = await ArchivedStore(url).open()
        async with contextlib.aclosing(store):
            place, before = await store.put_back(sealed), None
        Witness(data_dir, url).remove()
    print(
        f"{copied.streamers} streamers of model {copied.model_version or 'none'} are back, as of "
        f"sequence {place.sequence}"
    )
    if before is not None:
        print(f"what was stored before is in {before}: remove it when all is well")
    return 0


async def _into_folder(sealed: Sealed, data_dir: Path) -> tuple[Position, Path | None]:
    """A new store in the place of the one that is there, which is kept under another name.

    The new one is complete before the old one is touched. Whoever is stopped between the two
    renames leaves no store but an unfinished one, and no service starts on that.
    """
    target, new, witness = data_dir / STORE, data_dir / UNFINISHED_STORE, Witness(data_dir)
    async with _owning(target):
        shutil.rmtree(new, ignore_errors=True)
        try:
            async with EmbeddedStore(new) as embedded:
                store = await ArchivedStore(embedded.url, trouble=embedded.trouble).open()
                async with contextlib.aclosing(store):
                    place = await store.put_back(sealed)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        witness.remove()  # what it knows is of the store before
        before = _swap(new, target)
        witness.write(place)
        return place, before


def _swap(new: Path, target: Path) -> Path | None:
    """Give a folder the name of another; the other's new name, if there was one."""
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
    """Nobody else uses a store's folder meanwhile, if it is there.

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
