"""Opens the store that the settings name, and refuses one that lost data."""

import asyncio
import logging
import shutil
import ssl
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

from redis.exceptions import AuthenticationError, AuthorizationError, MovedError

from service.errors import (
    DataLost,
    ModelMismatch,
    NewerStore,
    StoreFull,
    StoreStartFailed,
    StoreUnavailable,
    UnsafeConfiguration,
)
from service.settings import Settings
from service.settings.store import Store as StoreSettings
from service.store.base import INCOMPLETE, Position, StreamerStore
from service.store.embedded.append_only_log import has_log
from service.store.embedded.folder import UNFINISHED_STORE
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.backup import RESTORING, ArchivedStore
from service.store.redis.client import CommandRefused, WithoutReplicas
from service.store.redis.connecting.address import StoreAddress
from service.store.redis.durability import ALWAYS
from service.store.redis.watch import ServerWatch
from service.store.trouble import StoreHealth
from service.store.witness import Witness

_log = logging.getLogger(__name__)
_AGAIN_S = 1.0
"""Between two attempts to open a store that does not answer yet, or to keep its format."""
_WRONG_SETTINGS = (
    AuthenticationError,
    AuthorizationError,
    MovedError,
    ssl.SSLCertVerificationError,
)
"""What no waiting mends, though it comes from the connection."""


class OpenedStore(NamedTuple):
    """A store that answers.

    Attributes:
        store: the store.
        name: `embedded` or `external`, for people.
        health: tells what is wrong with it.
    """

    store: ArchivedStore
    name: str
    health: StoreHealth


def address_of(url: str | None, known: StoreSettings) -> StoreAddress | None:
    """Where an external store is; None for the embedded one.

    Raises:
        UnsafeConfiguration: the embedded store has no replicas and no sentinels; or there is a
            user or password for sentinels, and no sentinel.
    """
    account = {"USER": known.sentinel_user, "PASSWORD": known.sentinel_password}
    for name, value in account.items():
        if value and not known.sentinels:
            raise UnsafeConfiguration(
                f"STREAMER_STORE__SENTINEL_{name} is for sentinels, and none is named: set "
                "STREAMER_STORE__SENTINELS as well, or unset it"
            )
    if url is None:
        given = {"REPLICAS": known.replicas, "SENTINELS": known.sentinels}
        for name, value in given.items():
            if value:
                raise UnsafeConfiguration(
                    f"STREAMER_STORE__{name} is about an external store: set REDIS_URL as well, or "
                    "unset it, since the embedded store has no replicas"
                )
        return None
    password = known.sentinel_password
    return StoreAddress(
        url,
        tuple(_host_and_port(sentinel) for sentinel in known.sentinels),
        known.sentinel_user,
        None if password is None else password.get_secret_value(),
        known.replicas,
        known.replica_timeout_ms,
    )


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


async def open_store(
    settings: Settings,
    embedded: EmbeddedStore | None,
    stack: AsyncExitStack,
    tell: Callable[[str], None] = lambda _: None,
) -> OpenedStore:
    """Open the store; `stack` closes it.

    Args:
        settings: of the service.
        embedded: the embedded store, if it has begun to start already.
        stack: of what is closed at the end.
        tell: called with what an external store is waited for, whenever it was tried in vain.

    Raises:
        StartupError: it can't be used.
    """
    chunks_dir = settings.spaces.chunks_dir
    secret = settings.redis_url
    url = None if secret is None else secret.get_secret_value()
    address = address_of(url, settings.store)
    if address is not None:
        external = await _answering(
            lambda: ArchivedStore(address, chunks_dir=chunks_dir), settings.store.start_wait_s, tell
        )
        stack.push_async_callback(external.close)
        if external.durability != ALWAYS:
            _log.warning("writes may be lost: %s", external.durability)
        if address.sentinels and not address.replicas:
            _log.warning(
                "writes may be lost: STREAMER_STORE__REPLICAS is 0, so a fail-over loses what the "
                "primary acknowledged and no replica has"
            )
        await _keep_format(external, stack)
        await _keep_log(external, settings.store.log_entries)
        watch = ServerWatch(address, durability=external.durability)
        watch.start()
        stack.push_async_callback(watch.stop)
        return OpenedStore(external, "external", watch)
    check_folder(settings)
    embedded = embedded or EmbeddedStore(
        settings.store_folder, accept_data_loss=settings.accept_data_loss
    )
    await embedded.start()
    stack.push_async_callback(embedded.stop)
    await asyncio.to_thread(_remove_unfinished, settings.data_dir / UNFINISHED_STORE)
    try:
        store = await ArchivedStore(
            embedded.url, chunks_dir=chunks_dir, trouble=embedded.trouble_for_callers
        ).open()
    except StoreFull as error:
        raise StoreStartFailed(
            f"there is no room for a new store in {settings.data_dir}: free some, or choose "
            "another --data-dir"
        ) from error
    stack.push_async_callback(store.close)
    await _keep_format(store, stack)
    await _keep_log(store, settings.store.log_entries)
    if settings.accept_data_loss:
        await store.mend()
    return OpenedStore(store, "embedded", embedded)


def check_folder(settings: Settings) -> None:
    """Refuse a data folder whose embedded store is gone, before an empty one is created.

    Raises:
        StoreStartFailed: a restore was interrupted.
        DataLost: there was a store, and the settings don't accept that.
    """
    folder = settings.store_folder
    if not folder.exists() and (settings.data_dir / UNFINISHED_STORE).exists():
        raise StoreStartFailed(
            f"a restore into {settings.data_dir} was interrupted: run `python -m service restore` "
            "again"
        )
    if not has_log(folder) and not settings.accept_data_loss:
        Witness(settings.data_dir).check(Position("", 0), None)


def _remove_unfinished(store: Path) -> None:
    """Remove what a restore left that was killed; who owns the store beside it knows there is none.

    It is a copy of everything, and would outlive every erasure.
    """
    if not store.exists():
        return
    shutil.rmtree(store, ignore_errors=True)
    if store.exists():
        _log.error(
            "%s can't be removed: a restore that was killed has left it, a copy of everything "
            "that no erasure reaches; remove it",
            store,
        )
    else:
        _log.warning("%s is removed: a restore that was killed has left it", store)


async def _answering(
    new_store: Callable[[], ArchivedStore], wait_s: float, tell: Callable[[str], None]
) -> ArchivedStore:
    """An external store, open; one that starts beside the service is waited for.

    Raises:
        StoreStartFailed: it does not answer for so long, or refuses.
    """
    deadline, is_told = time.monotonic() + wait_s, False
    while True:
        try:
            return await new_store().open()
        except StoreUnavailable as error:
            reason = error.detail.rstrip(".")
            if time.monotonic() >= deadline or not _may_pass(error):
                raise StoreStartFailed(
                    f"REDIS_URL: {reason}; start that server, or unset it to use the embedded store"
                ) from error
        tell(f"the store is waited for: {reason}")
        if not is_told:
            _log.warning(
                "the store is waited for, up to %g s (STREAMER_STORE__START_WAIT_S): %s",
                wait_s,
                reason,
            )
            is_told = True
        await asyncio.sleep(_AGAIN_S)


def _may_pass(error: StoreUnavailable) -> bool:
    """Whether the store may answer once it has started."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, WithoutReplicas):  # of an empty store, whose first field is written
            return True
        if isinstance(cause, (CommandRefused, *_WRONG_SETTINGS)):
            return False
        cause = cause.__cause__ or cause.__context__
    return True


async def _keep_format(store: ArchivedStore, stack: AsyncExitStack) -> None:
    """Have a store tell its format; one that takes no writes yet is asked again until it does."""
    try:
        await store.raise_format()
    except (StoreFull, StoreUnavailable) as error:  # it can be read, and that is what counts
        _log.warning(
            "the store's format is not kept yet, which is tried again until it is: %s", error.detail
        )
        # A watch or a witness does not run beside each store, and this ends with the first success.
        again = asyncio.create_task(_keep_format_later(store), name="format of the store")
        stack.push_async_callback(_end, again)


async def _keep_format_later(store: ArchivedStore) -> None:
    while True:
        await asyncio.sleep(_AGAIN_S)
        try:
            await store.raise_format()
        except (StoreFull, StoreUnavailable):
            continue
        except NewerStore as error:  # it serves as one does that was upgraded behind its back
            _log.error("%s", error)
        except Exception:  # noqa: BLE001 - nobody awaits this task
            _log.exception("the store's format is not kept before the next start")
        else:
            _log.info("the store's format is kept")
        return


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _keep_log(store: ArchivedStore, entries: int | None) -> None:
    if entries is None:
        return
    try:
        before = await store.keep_log(entries)
    except (StoreFull, StoreUnavailable) as error:  # it can be read, and that is what counts
        _log.warning("STREAMER_STORE__LOG_ENTRIES is not kept: %s", error.detail)
        return
    if before != entries:
        _log.warning(
            "the store's log keeps %d writes from now on instead of %d, for all services on it: "
            "STREAMER_STORE__LOG_ENTRIES of the one that starts last decides",
            entries,
            before,
        )


async def check_data(
    store: ArchivedStore, snapshot: Position | None, settings: Settings, *, counts_on: bool = False
) -> Witness | None:
    """Refuse a store that lacks what it acknowledged.

    A server that may lose acknowledged writes by its configuration is not checked.

    Args:
        store: the store.
        snapshot: up to where the saved index is complete; None without one.
        settings: of the service.
        counts_on: have a store whose loss is accepted give no number again that is known.

    Returns:
        The store's witness; None where the store is not checked.

    Raises:
        DataLost: the store lacks something, and the settings don't accept that.
    """
    if store.durability != ALWAYS or await store.model_version() == RESTORING:
        return None
    url = settings.redis_url
    witness = Witness(settings.data_dir, None if url is None else url.get_secret_value())
    try:
        # An index follows the primary, and may know more than replicas have to have.
        evidence = None if settings.store.replicas else snapshot
        witness.check(await store.position(), evidence)
    except DataLost as error:
        if not settings.accept_data_loss:
            raise
        _log.warning("accepted: %s", error)
        if counts_on:
            await _count_on(store, witness.last_number(snapshot))
    return witness


async def _count_on(store: ArchivedStore, sequence: int) -> None:
    try:
        await store.count_on(sequence)
    except (StoreFull, StoreUnavailable) as error:  # it can be read, and that is what counts
        _log.warning("numbers of writes that the store lost may come again: %s", error.detail)


async def check_model(store: StreamerStore, model_version: str, *, reencode: bool) -> bool:
    """Refuse vectors of another model; whether stored profiles have to be encoded again.

    Args:
        store: the store.
        model_version: of the bundle.
        reencode: whether profiles may be encoded again.

    Raises:
        ModelMismatch: they would have to be, and may not; or a restore was interrupted.
    """
    stored = await store.model_version()
    if stored == RESTORING:
        raise ModelMismatch(
            "a restore of the store was interrupted: run `python -m service restore` again"
        )
    if stored in (None, model_version) or await store.count() == 0:
        return False
    if reencode:
        return True
    if stored.startswith(INCOMPLETE):
        raise ModelMismatch(
            f"the store was not re-encoded to the end ({stored}): start with --reencode to "
            f"encode the rest for {model_version}"
        )
    raise ModelMismatch(
        f"the store holds vectors of model {stored}, the bundle is {model_version}: start with "
        "that model's bundle, or with --reencode to encode all stored profiles again"
    )
