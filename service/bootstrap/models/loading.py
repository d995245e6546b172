"""Loads a model: its bundle, its encoder and towers, and what begins its index."""

import asyncio
import contextlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from model_export.contract.bundle import Bundle, Manifest
from model_export.contract.established import Established
from service.bootstrap.index import (
    check_index,
    index_device,
    milvus_parts,
    new_index,
    snapshots_of,
)
from service.bootstrap.model import load_model, pipeline_of, reader_of, tower_pool_of
from service.engine.encoding.pipeline import EncodingPipeline
from service.engine.encoding.tower_pool import TowerPool
from service.engine.evidence.engine import Evidence
from service.engine.replica.snapshots import Snapshots
from service.engine.work.lanes import Lanes
from service.engine.work.search_pool import SearchPool
from service.index.base import VectorIndex
from service.settings import Settings

if TYPE_CHECKING:  # its client takes half a second to import, and need not be installed
    from service.bootstrap.milvus import MilvusParts


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
        index_in: makes an empty index with its files in a folder; None: it has none.
        snapshots: of its index.
        searches: runs searches of its index.
        milvus: the parts of an index in Milvus; None of one in this process.
    """

    settings: Settings
    bundle: Bundle
    manifest: Manifest
    device: str
    evidence: Evidence
    established: Established | None
    towers: TowerPool
    pipeline: EncodingPipeline
    index_in: Callable[[Path | None], VectorIndex]
    snapshots: Snapshots
    searches: SearchPool
    milvus: "MilvusParts | None" = None

    @property
    def known_ids(self) -> Collection[str]:
        """Ids of the streamers that the bundle lists."""
        return self.established.ids if self.established else ()

    def empty(self) -> VectorIndex:
        """An empty index."""
        return self.index_in(self.settings.data_dir if self.settings.redis_url is None else None)

    def with_files(self, settings: Settings) -> "LoadedModel":
        """The model with its index and what is saved of it in the data folder of `settings`."""
        return replace(self, settings=settings, snapshots=snapshots_of(settings, self.manifest))


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
    bundle, manifest, encoder, towers = await asyncio.to_thread(load_model, settings)
    check_index(settings.index, manifest.dim)
    evidence = await asyncio.to_thread(Evidence, bundle)
    established = await asyncio.to_thread(bundle.established)
    device = index_device(settings)
    known_ids = established.ids if established else ()
    searches = SearchPool(lanes)
    index_in: Callable[[Path | None], VectorIndex]
    milvus = None
    if settings.index.backend == "milvus":
        milvus = milvus_parts(settings, manifest, known_ids, stack)
        index_in = milvus.index_maker(searches)
    else:
        index_in = partial(new_index, manifest, known_ids, settings.index, device, work=searches)
    work = tower_pool_of(towers, settings, lanes)
    reader = reader_of(bundle, work, lanes, settings, stack)
    loaded = LoadedModel(
        *(settings, bundle, manifest, encoder.device, evidence, established, work),
        pipeline_of(reader, encoder, manifest.model_version, settings, lanes),
        *(index_in, snapshots_of(settings, manifest), searches, milvus),
    )
    if begin:
        loaded.snapshots.begin(loaded.empty)  # meanwhile the store reads its log
    return loaded
