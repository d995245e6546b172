"""Builds the concrete parts, wires them, and makes the ASGI application of them.

app -> api -> retrieval -> {batcher, encoder, index, store, towers} -> errors
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from model_export.contract.bundle import Bundle, Manifest
from model_export.contract.errors import BundleError
from model_export.contract.features import Features
from service.engine.encoding.onnx_encoder import Encoded, OnnxEncoder
from service.engine.encoding.onnx_towers import OnnxTowers
from service.engine.encoding.profile_reader import Reader
from service.engine.encoding.tower_jobs import Sightings
from service.engine.encoding.tower_pool import TowerWork
from service.engine.encoding.tower_vectors import RecentVectors
from service.engine.replica.follower import Follower
from service.engine.replica.maintenance import Upkeep
from service.engine.replica.snapshots import Model, Schedule, Snapshots
from service.engine.scoring.precision import Precision
from service.engine.work.batcher import Batcher
from service.engine.work.search_pool import SearchPool
from service.errors import (
    ModelMismatch,
    StartupError,
    StoreFull,
    StoreStartFailed,
    StoreUnavailable,
    UnsafeConfiguration,
)
from service.features.cold_start.service import ColdStart, Recommender
from service.features.dedup.service import Dedup
from service.features.models.reencode import is_incomplete, reencode_all
from service.features.operations import health, metrics
from service.features.operations import index_listing as index
from service.features.operations.installation import twin_packages
from service.features.operations.metrics import Traffic
from service.features.similar import endpoints as questions
from service.features.similar.explain import Explainer
from service.features.similar.fast_path import NearestRoute
from service.features.similar.pages import Pages
from service.features.similar.seeds import Seeds
from service.features.similar.service import Similar
from service.features.streamers import endpoints as streamers
from service.features.streamers.service import Profiles
from service.http import problems
from service.http.dependencies import State, documented_key
from service.http.request_guard import Gate
from service.index.base import EXACT, VectorIndex
from service.index.faiss.ann.device import Device, NoDevice, device_of
from service.index.faiss.ann.segment import AUTOMATIC, check_factory
from service.index.faiss.index import FaissIndex
from service.index.faiss.segmented import Plan
from service.index.work import Work
from service.media.addresses import SystemResolver
from service.media.fetch import Fetcher
from service.settings import Index, Settings
from service.store.base import StreamerStore
from service.store.embedded.folder import UNFINISHED_STORE
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.backup import RESTORING
from service.store.redis.store import RedisStore

_log = logging.getLogger(__name__)


def create_app(settings: Settings, state: State | None = None) -> FastAPI:
    """The application; its lifespan opens the state unless an opened one is given."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[Mapping[str, Any], None]:
        if state is not None:
            yield {"service": state}
            return
        async with open_state(settings) as opened:
            yield {"service": opened}

    traffic = Traffic()
    app = FastAPIOffline(
        title="similar-streamer",
        summary="Similar streamers, cold start and dedup, from what streamers show.",
        version=version("similar-streamer"),
        lifespan=lifespan,
        redoc_url=None,
    )
    app.include_router(questions.router, dependencies=[documented_key])
    app.include_router(streamers.router, dependencies=[documented_key])
    app.include_router(index.router, dependencies=[documented_key])
    app.include_router(health.router)
    app.include_router(metrics.router_of(traffic))
    problems.install(app)
    app.add_middleware(NearestRoute)
    app.add_middleware(  # the last one is the first to see a request
        Gate,
        traffic=traffic,
        api_key=settings.api_key.get_secret_value() if settings.api_key else None,
        body_limit=settings.limits.body_limit_bytes,
        bulk_body_limit=settings.limits.bulk_body_limit_bytes,
        body_timeout_s=settings.limits.body_timeout_s,
    )
    return app


@contextlib.asynccontextmanager
async def open_state(
    settings: Settings, embedded: EmbeddedStore | None = None
) -> AsyncGenerator[State, None]:
    """Everything that the endpoints work with; closed in reverse order.

    The index is built in the background: `/readyz` tells when it is complete. The `embedded` store
    may have begun to start already.

    Raises:
        StartupError: with what to do about it.
        BundleError: the bundle can't be trusted.
    """
    check_configuration(settings)
    bundle = _opened(settings)
    manifest = _at_width(bundle.manifest, settings.dim)
    encoder = OnnxEncoder(bundle, threads=1, device=settings.device, dim=manifest.dim)
    towers = OnnxTowers(bundle, threads=1, device=settings.device)
    _check_index(settings.index, manifest.dim)
    established, device = bundle.established(), _index_device(settings)
    folder = settings.data_dir if settings.redis_url is None else None
    known_ids = established.ids if established else ()
    searches = SearchPool(settings.searching)
    empty = partial(new_index, manifest, known_ids, settings.index, device, folder, searches)
    snapshots = _snapshots(settings, manifest)
    snapshots.begin(empty)  # meanwhile the store reads its log
    async with contextlib.AsyncExitStack() as stack:
        store, store_name, trouble = await _open_store(settings, embedded, stack)
        executor = ThreadPoolExecutor(settings.encoding.threads, thread_name_prefix="encode")
        stack.callback(executor.shutdown, wait=True, cancel_futures=True)

        async def encode_many(features: Sequence[Features]) -> list[Encoded]:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(executor, encoder.encode, features)

        batcher: Batcher[Features, Encoded] = Batcher(
            encoder.encode,
            executor,
            max_batch=settings.encoding.max_batch,
            max_wait_ms=settings.encoding.max_wait_ms,
            max_queue=settings.encoding.max_queue,
            deadline_ms=settings.encoding.deadline_ms,
        )
        batcher.start()
        stack.push_async_callback(batcher.stop)
        work = TowerWork(towers, settings.towers)
        work.start()
        stack.push_async_callback(work.stop)
        reader = _reader(bundle, work, settings, stack)
        profiles = Profiles(store, reader, batcher.submit, encode_many, manifest.model_version)
        await _settle_model(store, profiles, settings)
        follower = Follower(store, empty, snapshots, settings.limits.max_lag_s)
        follower.start()
        stack.push_async_callback(follower.stop)
        upkeep = Upkeep(follower, snapshots)
        upkeep.start()
        stack.push_async_callback(upkeep.stop)
        searches.start()
        stack.push_async_callback(searches.stop)
        timeout_ms = settings.limits.visible_timeout_ms
        known = manifest.calibration
        yield State(
            profiles=profiles,
            similar=Similar(
                follower,
                Seeds(profiles, manifest.dim),
                Explainer(profiles, bundle.featurizer.vocabulary.uninformative),
                Precision(known and known.embedding, "min_score"),
                Pages(settings.paging),
                timeout_ms,
            ),
            cold_start=ColdStart(
                follower,
                searches,
                profiles,
                manifest.id_space,
                Recommender(established) if established else None,
                timeout_ms,
            ),
            dedup=Dedup(
                follower,
                profiles,
                manifest.content_dim,
                manifest.duplicate_threshold.value,
                Precision(known and known.content, "threshold"),
                timeout_ms,
            ),
            follower=follower,
            snapshots=snapshots,
            towers=work,
            limits=settings.limits,
            model_version=manifest.model_version,
            device=encoder.device,
            store_name=store_name,
            store_problem=trouble,
        )


def new_index(
    manifest: Manifest,
    established: Collection[str],
    settings: Index,
    device: Device,
    folder: Path | None = None,
    work: Work | None = None,
) -> VectorIndex:
    """An empty index of the kind that the settings name; see `FaissIndex`."""
    plan = Plan(settings.kind, settings.from_rows, settings.recall, floor=settings.floor)
    return FaissIndex(
        manifest.dim,
        manifest.content_dim,
        established,
        None if settings.kind == EXACT else plan,
        folder=folder,
        device=device,
        work=work,
    )


def _index_device(settings: Settings) -> Device:
    index = settings.index
    asked = index.device or settings.device
    try:
        return device_of("cpu" if index.kind == EXACT else asked, temp_mib=index.gpu_temp_mib)
    except NoDevice as error:
        name = "STREAMER_INDEX__DEVICE" if index.device else "STREAMER_DEVICE"
        raise StartupError(
            f"{name}={asked}: {error}; or search on the CPU: STREAMER_INDEX__DEVICE=cpu"
        ) from error


def _snapshots(settings: Settings, manifest: Manifest) -> Snapshots:
    known, every = settings.index, settings.index.snapshot_s
    return Snapshots(
        settings.data_dir / "index",
        Model(
            manifest.model_version,
            manifest.dim,
            manifest.content_dim,
            manifest.features_fingerprint,
        ),
        Schedule(every, known.snapshot_changes, known.snapshot_from_rows),
    )


def _check_index(settings: Index, dim: int) -> None:
    if settings.kind in (EXACT, AUTOMATIC):
        return
    try:
        check_factory(settings.kind, dim)
    except ValueError as error:
        raise StartupError(f"STREAMER_INDEX__KIND: {error}; or take auto, or exact") from error


def _opened(settings: Settings) -> Bundle:
    if settings.variant is not None:
        full = Bundle(settings.bundle)  # what is wrong with it is not the variant's fault
        try:
            full.manifest.as_variant(settings.variant)
        except BundleError as error:
            raise StartupError(f"STREAMER_VARIANT={settings.variant}: {error}") from error
    return Bundle(settings.bundle, settings.variant)


def _at_width(manifest: Manifest, dim: int | None) -> Manifest:
    try:
        return manifest.at(dim)
    except BundleError as error:
        raise StartupError(f"STREAMER_DIM={dim}: {error}") from error


def check_configuration(settings: Settings) -> None:
    """Refuse what would be unsafe, or would silently do something else.

    Raises:
        UnsafeConfiguration: open to the network without a key, or twin packages installed.
    """
    if settings.is_open_to_the_network and settings.api_key is None:
        raise UnsafeConfiguration(
            f"host {settings.host} is reachable from other machines, and there is no API key: set "
            "STREAMER_API_KEY, or listen on 127.0.0.1"
        )
    twins = twin_packages()
    if twins:
        raise UnsafeConfiguration(twins)


async def _open_store(
    settings: Settings, embedded: EmbeddedStore | None, stack: contextlib.AsyncExitStack
) -> tuple[StreamerStore, str, Any]:
    """The store, its name, and a function that tells what is wrong with it.

    Raises:
        StartupError: it can't be used.
    """
    if settings.redis_url is not None:
        try:
            external = await RedisStore(settings.redis_url.get_secret_value()).open()
        except StoreUnavailable as error:
            reason = error.detail.rstrip(".")
            raise StoreStartFailed(
                f"REDIS_URL: {reason}; start that server, or unset it to use the embedded store"
            ) from error
        stack.push_async_callback(external.close)
        if external.durability != "always":
            _log.warning("writes may be lost: %s", external.durability)
        return external, "external", lambda: None
    folder = settings.store_folder
    if not folder.exists() and (settings.data_dir / UNFINISHED_STORE).exists():
        raise StoreStartFailed(
            f"putting a copy back into {settings.data_dir} was interrupted: run `python -m service "
            "restore` again"
        )
    embedded = embedded or EmbeddedStore(folder)
    await embedded.start()
    stack.push_async_callback(embedded.stop)
    try:
        store = await RedisStore(embedded.url, trouble=embedded.trouble).open()
    except StoreFull as error:
        raise StoreStartFailed(
            f"there is no room for a new store in {settings.data_dir}: free some, or choose "
            "another --data-dir"
        ) from error
    stack.push_async_callback(store.close)
    return store, "embedded", embedded.trouble


def _reader(
    bundle: Bundle, work: TowerWork, settings: Settings, stack: contextlib.AsyncExitStack
) -> Reader:
    if not work.specs:
        return Reader(bundle.featurizer)
    resolver = SystemResolver(settings.media.url_concurrency)
    stack.callback(resolver.close)
    fetcher = Fetcher(settings.media, resolver)
    recent = RecentVectors(settings.towers.recent_bytes)
    return Reader(bundle.featurizer, work.specs, Sightings(work, recent, fetcher.fetch))


async def _settle_model(store: StreamerStore, profiles: Profiles, settings: Settings) -> None:
    """Make sure that stored vectors and the bundle belong together.

    Raises:
        ModelMismatch: they do not, and re-encoding was not asked for.
    """
    stored = await store.model_version()
    if stored == profiles.model_version:
        return
    if stored == RESTORING:
        raise ModelMismatch(
            "putting a copy back into the store was interrupted: run `python -m service restore` "
            "again"
        )
    if stored is not None and await store.count() > 0:
        if not settings.reencode:
            if is_incomplete(stored):
                raise ModelMismatch(
                    f"the store was not re-encoded to the end ({stored}): start with --reencode to "
                    f"encode the rest for {profiles.model_version}"
                )
            raise ModelMismatch(
                f"the store holds vectors of model {stored}, the bundle is "
                f"{profiles.model_version}: start with that model's bundle, or with --reencode to "
                "encode all stored profiles again"
            )
        await reencode_all(store, profiles)
    await store.set_model_version(profiles.model_version)
