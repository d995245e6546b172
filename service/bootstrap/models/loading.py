"""Loads a model: its bundle, its encoder and towers, and what begins its index."""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

from model_export.contract.bundle import Bundle, Manifest
from model_export.contract.errors import BundleError
from model_export.contract.established import Established
from model_export.contract.features import Features
from service.bootstrap.index import check_index, index_device, new_index, snapshots_of
from service.engine.encoding.onnx_encoder import MAX_BATCH, Encoded, OnnxEncoder
from service.engine.encoding.onnx_towers import OnnxTowers
from service.engine.encoding.pipeline import EncodingPipeline
from service.engine.encoding.profile_reader import Reader
from service.engine.encoding.tower_jobs import TowerJobs
from service.engine.encoding.tower_pool import TowerPool
from service.engine.encoding.tower_vectors import TowerCache
from service.engine.evidence.engine import Evidence
from service.engine.replica.snapshots import Snapshots
from service.engine.work.lanes import Lane, Lanes, Queue
from service.engine.work.search_pool import SearchPool
from service.errors import StartupError
from service.index.base import VectorIndex
from service.media.addresses import SystemResolver
from service.media.fetch import Fetcher
from service.settings import Settings


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model that can encode.

    Attributes:
        settings: with its bundle.
        bundle, manifest: of the model, at the width that is served.
        device: where its encoder runs.
        evidence: by its calibration.
        established: streamers that it lists.
        towers: of single pieces.
        pipeline: from profiles to vectors.
        empty: makes an empty index.
        snapshots: of its index.
        searches: runs searches of its index.
    """

    settings: Settings
    bundle: Bundle
    manifest: Manifest
    device: str
    evidence: Evidence
    established: Established | None
    towers: TowerPool
    pipeline: EncodingPipeline
    empty: Callable[[], VectorIndex]
    snapshots: Snapshots
    searches: SearchPool

    @property
    def known_ids(self) -> Collection[str]:
        """Ids of the streamers that the bundle lists."""
        return self.established.ids if self.established else ()


async def load(
    settings: Settings, lanes: Lanes, stack: contextlib.AsyncExitStack, *, begin: bool = True
) -> LoadedModel:
    """Load the model that the settings name; probes are answered meanwhile.

    Args:
        settings: of the service, with the model's bundle.
        lanes: where work is done.
        stack: closes what is opened.
        begin: whether its saved index is looked for, while others are busy.

    Raises:
        StartupError: the settings ask for what the bundle has not.
        BundleError: the bundle can't be trusted.
    """
    bundle, manifest, encoder, towers = await asyncio.to_thread(_load_model, settings)
    check_index(settings.index, manifest.dim)
    evidence = await asyncio.to_thread(Evidence, bundle)
    established, device = bundle.established(), index_device(settings)
    folder = settings.data_dir if settings.redis_url is None else None
    known_ids = established.ids if established else ()
    searches = SearchPool(lanes)
    empty = partial(new_index, manifest, known_ids, settings.index, device, folder, searches)
    snapshots = snapshots_of(settings, manifest)
    if begin:
        snapshots.begin(empty)  # meanwhile the store reads its log
    work = TowerPool(towers, settings.towers, lanes)
    reader = _reader(bundle, work, lanes, settings, stack)
    return LoadedModel(
        *(settings, bundle, manifest, encoder.device, evidence, established, work),
        _pipeline(reader, encoder, manifest.model_version, settings, lanes),
        *(empty, snapshots, searches),
    )


def _load_model(settings: Settings) -> tuple[Bundle, Manifest, OnnxEncoder, OnnxTowers]:
    bundle = _opened(settings)
    manifest = _at_width(bundle.manifest, settings.dim)
    encoder = OnnxEncoder(bundle, threads=1, device=settings.device, dim=manifest.dim)
    return bundle, manifest, encoder, OnnxTowers(bundle, threads=1, device=settings.device)


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


def _pipeline(
    reader: Reader, encoder: OnnxEncoder, model_version: str, settings: Settings, lanes: Lanes
) -> EncodingPipeline:
    queues: dict[Lane, Queue[Features, Encoded]] = {
        lane: lanes.queue(
            encoder.encode,
            lane,
            what="profiles",
            stage="encode",
            max_batch=settings.encoding.max_batch if lane is Lane.INTERACTIVE else MAX_BATCH,
            at_once=1,
        )
        for lane in Lane
    }

    async def encode_many(features: Sequence[Features], lane: Lane) -> list[Encoded]:
        return await queues[lane].submit_all(features)

    encode = queues[Lane.INTERACTIVE].submit
    return EncodingPipeline(reader, encode, encode_many, model_version)


def _reader(
    bundle: Bundle,
    work: TowerPool,
    lanes: Lanes,
    settings: Settings,
    stack: contextlib.AsyncExitStack,
) -> Reader:
    if not work.specs:
        return Reader(bundle.featurizer, lanes=lanes)
    resolver = SystemResolver(settings.media.url_concurrency)
    stack.callback(resolver.close)
    fetcher = Fetcher(settings.media, resolver)
    recent = TowerCache(settings.towers.recent_bytes)
    return Reader(bundle.featurizer, work.specs, TowerJobs(work, recent, fetcher.fetch), lanes)
