"""Opens the store that a command works on: of a data folder, or an external one."""

import argparse
import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import quote

from model_export.contract.errors import ContractError
from service.commands.environment import variable
from service.errors import FolderInUse, ServiceError, StartupError, in_one_line
from service.files.checksummed import Broken
from service.settings.reading import environment, read_group
from service.settings.spaces import Spaces
from service.settings.store import Store
from service.store.embedded.folder import socket_in
from service.store.embedded.patience import Patience
from service.store.embedded.supervisor import EmbeddedStore
from service.store.opening import address_of
from service.store.redis.backup import ArchivedStore
from service.store.redis.connecting.address import StoreAddress

STORE = "store"
"""The store's folder below the data folder."""


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the store, as for `serve`."""
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path(variable("STREAMER_DATA_DIR") or "data"),
        help="of the embedded store (STREAMER_DATA_DIR, ./data); REDIS_URL names an external one",
    )


def external_address() -> StoreAddress | None:
    """Where an external store is, as `serve` reads it.

    Raises:
        StartupError: the settings are wrong.
    """
    return address_of(environment().get("redis_url"), read_group(Store, "store"))


def chunks_dir() -> Path | None:
    """The folder of chunks of generations, as `serve` reads it.

    Raises:
        StartupError: the settings are wrong.
    """
    return read_group(Spaces, "spaces").chunks_dir


@contextlib.asynccontextmanager
async def opened_store(data_dir: Path) -> AsyncGenerator[ArchivedStore, None]:
    """Open the store, whether a service runs on it or not.

    Raises:
        StartupError: there is none, or it does not start.
        StoreUnavailable: it does not answer.
    """
    address = external_address()
    async with contextlib.AsyncExitStack() as stack:
        at, trouble = (address, _untold) if address else await _embedded(data_dir, stack)
        store = ArchivedStore(at, chunks_dir=chunks_dir(), trouble=trouble)
        await store.open()
        stack.push_async_callback(store.close)
        yield store


async def _embedded(
    data_dir: Path, stack: contextlib.AsyncExitStack
) -> tuple[str, Callable[[], str | None]]:
    """Address of the embedded store, which this process starts unless a service runs it.

    Beside it, what is known to be wrong with it, as `ArchivedStore` takes it.
    """
    folder = (data_dir / STORE).absolute()
    if not folder.is_dir():
        raise StartupError(
            f"{folder} does not exist: give the data folder of the service by --data-dir, or the "
            "address of an external store by REDIS_URL"
        )
    embedded = EmbeddedStore(folder, patience=Patience(lock_s=0.1))
    try:
        await embedded.start()
    except FolderInUse:
        return f"unix://{quote(str(socket_in(folder)))}", _untold
    stack.push_async_callback(embedded.stop)
    return embedded.url, embedded.trouble


def _untold() -> None:
    """Of a store that another process looks after, nothing is known."""


def finish(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run a command's work; its status, or 1 and one line on standard error when it fails."""
    try:
        return asyncio.run(work())
    except (ServiceError, ContractError, Broken, OSError) as error:
        print("error:", in_one_line(error), file=sys.stderr)
        return 1
