"""The model of a bundle, and how profiles go through it: the same wherever profiles are encoded."""

import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path

from model_export.contract.bundle import Bundle, Manifest
from model_export.contract.errors import BundleError
from model_export.contract.features import Features
from service.engine.encoding.known_vectors import KnownVectors
from service.engine.encoding.onnx_encoder import MAX_BATCH, Encoded, OnnxEncoder
from service.engine.encoding.onnx_towers import OnnxTowers
from service.engine.encoding.pipeline import EncodingPipeline
from service.engine.encoding.profile_reader import Reader
from service.engine.encoding.tower_jobs import TowerJobs
from service.engine.encoding.tower_pool import TowerPool
from service.engine.encoding.tower_vectors import TowerCache
from service.engine.work.lanes import Lane, Lanes, Queue
from service.errors import StartupError
from service.files.text_vectors import TextVectors
from service.media.addresses import SystemResolver
from service.media.fetch import Fetcher
from service.settings import Settings


@dataclass(frozen=True, eq=False)
class OpenedPipeline:
    """A pipeline with the threads and the towers that it works with."""

    pipeline: EncodingPipeline
    lanes: Lanes
    towers: TowerPool


def load_model(settings: Settings) -> tuple[Bundle, Manifest, OnnxEncoder, OnnxTowers]:
    """The bundle of the settings, its manifest at their width, and its graphs.

    Raises:
        StartupError: the bundle has not that width or variant.
        BundleError: the bundle can't be trusted.
    """
    bundle, manifest = bundle_of(settings)
    encoder = OnnxEncoder(bundle, threads=1, device=settings.device, dim=manifest.dim)
    return bundle, manifest, encoder, OnnxTowers(bundle, threads=1, device=settings.device)


def bundle_of(settings: Settings) -> tuple[Bundle, Manifest]:
    """The verified bundle of the settings, and its manifest at their width; raises likewise."""
    bundle = _opened(settings)
    return bundle, _at_width(bundle.manifest, settings.dim)


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


def tower_pool_of(towers: OnnxTowers, settings: Settings, lanes: Lanes) -> TowerPool:
    """The towers at work in `lanes`."""
    known = settings.towers
    if settings.encoding.reproducible:
        known = known.model_copy(update={"max_batch": 1})
    return TowerPool(towers, known, lanes)


def reader_of(
    bundle: Bundle,
    work: TowerPool,
    lanes: Lanes,
    settings: Settings,
    stack: contextlib.AsyncExitStack,
    recent: TowerCache | None = None,
) -> Reader:
    """Reads profiles for the encoder, by the towers of `work`; `stack` closes what it opens."""
    if not work.specs:
        return Reader(bundle.featurizer, lanes=lanes)
    resolver = SystemResolver(settings.media.url_concurrency)
    stack.callback(resolver.close)
    fetcher = Fetcher(settings.media, resolver)
    if recent is None:
        recent = TowerCache(settings.towers.recent_bytes)
    return Reader(bundle.featurizer, work.specs, TowerJobs(work, recent, fetcher.fetch), lanes)


def pipeline_of(
    reader: Reader, encoder: OnnxEncoder, model_version: str, settings: Settings, lanes: Lanes
) -> EncodingPipeline:
    """Encodes profiles in `lanes`."""
    most = 1 if settings.encoding.reproducible else MAX_BATCH
    queues: dict[Lane, Queue[Features, Encoded]] = {
        lane: lanes.queue(
            encoder.encode,
            lane,
            what="profiles",
            stage="encode",
            max_batch=min(settings.encoding.max_batch, most) if lane is Lane.INTERACTIVE else most,
            at_once=1,
        )
        for lane in Lane
    }

    async def encode_many(features: Sequence[Features], lane: Lane) -> list[Encoded]:
        return await queues[lane].submit_all(features)

    encode = queues[Lane.INTERACTIVE].submit
    return EncodingPipeline(reader, encode, encode_many, model_version)


@contextlib.asynccontextmanager
async def opened_pipeline(
    settings: Settings, texts: Sequence[Path] = ()
) -> AsyncGenerator[OpenedPipeline, None]:
    """The pipeline that a service with these settings encodes by, without store and index.

    Args:
        settings: of the service.
        texts: files with vectors of texts, which are then not encoded.

    Raises:
        StartupError, BundleError: as `load_model`.
        UnusableTexts: the files are not those of the bundle, or not all there.
    """
    bundle, manifest, encoder, towers = load_model(settings)
    recent_bytes = settings.towers.recent_bytes
    async with contextlib.AsyncExitStack() as stack:
        recent = TowerCache(recent_bytes)
        if texts:
            known = TextVectors(texts, text_towers(manifest))
            stack.callback(known.close)
            recent = KnownVectors(recent_bytes, known.get)
        lanes = _opened_lanes(settings, stack)
        work = tower_pool_of(towers, settings, lanes)
        reader = reader_of(bundle, work, lanes, settings, stack, recent)
        pipeline = pipeline_of(reader, encoder, manifest.model_version, settings, lanes)
        yield OpenedPipeline(pipeline, lanes, work)


@contextlib.asynccontextmanager
async def opened_towers(settings: Settings) -> AsyncGenerator[TowerPool, None]:
    """The towers alone; raises as `opened_pipeline`."""
    bundle, _ = bundle_of(settings)
    async with contextlib.AsyncExitStack() as stack:
        lanes = _opened_lanes(settings, stack)
        towers = OnnxTowers(bundle, threads=1, device=settings.device)
        yield tower_pool_of(towers, settings, lanes)


def text_towers(manifest: Manifest) -> list[str]:
    """Versions of the towers that read texts."""
    return [spec.version for spec in manifest.towers if spec.text is not None]


def _opened_lanes(settings: Settings, stack: contextlib.AsyncExitStack) -> Lanes:
    lanes = Lanes(settings.work)
    lanes.start()
    stack.callback(lanes.stop)
    return lanes
