"""Whether `serve` would start on what is stored.

The store is opened as `serve` does it. Nothing is written, but for the end of a torn log, which is
cut as `serve` would, with a copy.
"""

import contextlib
from dataclasses import dataclass

from service.engine.replica.snapshots import newest_place
from service.errors import (
    DataLost,
    FolderInUse,
    InvalidRequest,
    ModelMismatch,
    StoreUnavailable,
)
from service.features.models.bundles import BundleFolder
from service.features.models.records import Registry
from service.settings import Settings
from service.store.embedded.append_only_log import has_log
from service.store.embedded.binary import find_binary
from service.store.embedded.patience import Patience
from service.store.embedded.supervisor import EmbeddedStore
from service.store.opening import address_of, check_data, check_folder, check_model
from service.store.redis.backup import ArchivedStore
from service.store.redis.connecting.address import StoreAddress
from service.store.redis.durability import ALWAYS
from service.store.redis.models.store import RedisModels


@dataclass(frozen=True)
class FoundStore:
    """A store on which the service would start.

    Attributes:
        detail: what there is to say of it.
        is_risky: whether operators should do something about it.
    """

    detail: str
    is_risky: bool = False


async def look_at_store(settings: Settings, model_version: str | None) -> FoundStore:
    """Open the store and compare it with what was acknowledged, and with the bundle.

    Args:
        settings: of the service.
        model_version: of the bundle; None: the model is not looked at.

    Raises:
        StartupError: the service would refuse to start.
        StoreUnavailable: an external store does not answer.
    """
    secret = settings.redis_url
    url = None if secret is None else secret.get_secret_value()
    address = address_of(url, settings.store)
    if address is not None:
        try:
            durability, said = await _opened(address, settings, model_version)
        except StoreUnavailable as error:
            raise StoreUnavailable(f"REDIS_URL: {error}") from error
        if durability != ALWAYS:
            return FoundStore(f"REDIS_URL: writes may be lost: {durability}{said}", is_risky=True)
        return FoundStore(f"REDIS_URL: {durability}{said}")
    found = f"embedded: {find_binary()}"
    check_folder(settings)
    if not has_log(settings.store_folder):
        return FoundStore(found)
    if settings.accept_data_loss:
        not_opened = "not opened: the start drops what can't be read of it"
        return FoundStore(f"{found}; {not_opened}", is_risky=True)
    embedded = EmbeddedStore(settings.store_folder, patience=Patience(lock_s=0.1))
    try:
        await embedded.start()
    except FolderInUse:  # which the check of the data folder tells
        return FoundStore(found)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(embedded.stop)
        _, said = await _opened(embedded.url, settings, model_version)
    return FoundStore(found + said)


async def _opened(
    address: StoreAddress | str, settings: Settings, model_version: str | None
) -> tuple[str, str]:
    """How durable a store is, and what is to be said of its model."""
    store = await ArchivedStore(address).open()
    async with contextlib.aclosing(store):
        await store.position(confirmed=True)
        evidence = None if settings.store.replicas else newest_place(settings.snapshots_folder)
        try:
            await check_data(store, evidence, settings)
        except DataLost:  # or a service wrote, and noted it, between the two looks
            await check_data(store, evidence, settings)
        said = await _of_model(store, settings, model_version) if model_version else ""
        return store.durability, said


async def _of_model(store: ArchivedStore, settings: Settings, model_version: str) -> str:
    """What is to be said of the stored model beside that of the bundle.

    Raises:
        ModelMismatch: it is another one, and nothing says that the service would start on it.
    """
    pointer = await RedisModels(store.client).pointer()
    active, is_kept = pointer.active, pointer.target == model_version
    try:  # to encode all again would undo a promotion over the model that is kept
        if await check_model(store, model_version, reencode=settings.reencode and not is_kept):
            return f"; profiles of model {active} are encoded again by the start"
        return ""
    except ModelMismatch:
        registered = await Registry(store.documents).get(active or "")
        if registered is None:
            raise
        models = BundleFolder(settings.models.folder, settings.variant, settings.dim)
        with contextlib.suppress(InvalidRequest):
            found = models.find(registered.folder)
            if found.sha256 == registered.sha256:
                return f"; model {active} was promoted, it answers in place of {model_version}"
        raise
