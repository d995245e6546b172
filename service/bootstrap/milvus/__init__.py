"""Makes the parts of the index in Milvus; imported only where it is wanted, with its client."""

import contextlib
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from model_export.contract.bundle import Manifest
from service.bootstrap.milvus.clusters import clusters_of
from service.engine.projection.pace import Pace
from service.engine.projection.projector import Projector
from service.engine.projection.record import Projections
from service.engine.projection.source import StoredVectors
from service.engine.projection.watch import CollectionWatch
from service.engine.replica.follower import Follower
from service.engine.replica.snapshots import Model
from service.errors import StartupError
from service.index.base import VectorIndex
from service.index.milvus.base import Bounds, MilvusBase
from service.index.milvus.collection import MOST_HITS, Shape
from service.index.milvus.connection import Connection
from service.index.milvus.index import MilvusIndex
from service.index.work import Work
from service.settings import Settings
from service.store.base import StreamerStore
from service.store.documents import DocumentStore

_PATIENCE = 4
"""A cluster that is silent for this part of a call's time may have gone."""
_CALLS = 4
"""A question has the time of so many calls, whichever clusters are asked."""
_GRACE_S = 5.0
"""Milvus's `common.gracefulTime`: what was written so lately, a search may miss."""


@dataclass(frozen=True, eq=False)
class MilvusParts:
    """The index of one model in Milvus.

    Attributes:
        clusters: what its indexes in this process share, of each cluster; the preferred one first.
        established: ids of established streamers.
    """

    clusters: Sequence[MilvusBase]
    established: Collection[str]

    @classmethod
    def of(
        cls,
        settings: Settings,
        manifest: Manifest,
        established: Collection[str],
        stack: contextlib.AsyncExitStack,
    ) -> "MilvusParts":
        """The parts; nothing is connected yet, and `stack` closes what will be.

        Raises:
            StartupError: the settings don't fit.
        """
        known, uri, token = settings.milvus, settings.milvus_uri, settings.milvus_token
        if uri is None:
            raise StartupError(
                "STREAMER_INDEX__BACKEND=milvus needs STREAMER_MILVUS_URI, such as "
                "http://milvus:19530; or take STREAMER_INDEX__BACKEND=faiss"
            )
        if known.margin_s < 2 * (known.timeout_s + _GRACE_S):
            raise StartupError(
                f"STREAMER_MILVUS__MARGIN_S={known.margin_s:g} is less than twice "
                f"STREAMER_MILVUS__TIMEOUT_S={known.timeout_s:g} and Milvus's gracefulTime of "
                f"{_GRACE_S:g} s together: answers could lack what was just written"
            )
        if settings.limits.max_k > MOST_HITS // 2:
            raise StartupError(
                f"STREAMER_LIMITS__MAX_K={settings.limits.max_k}: with Milvus at most "
                f"{MOST_HITS // 2}"
            )
        shape = Shape(manifest.model_version, manifest.dim, known.lists, known.probes)
        secret = token.get_secret_value() if token else ""
        bounds = Bounds(
            known.overlay_rows,
            settings.index.floor,
            known.margin_s - _GRACE_S,
            known.timeout_s / _PATIENCE,
            known.timeout_s * _CALLS,
        )
        clusters: list[MilvusBase] = []
        for each in clusters_of(uri.get_secret_value(), secret):
            connection = Connection(each.uri, each.token, shape, known.timeout_s)
            stack.push_async_callback(connection.close)
            clusters.append(MilvusBase(connection, shape, bounds, established, each.name))
        return cls(clusters, established)

    def index(self, work: Work, folder: Path | None) -> MilvusIndex:
        """An empty index."""
        return MilvusIndex(self.clusters, self.established, folder, work)

    def start(
        self,
        store: StreamerStore,
        documents: DocumentStore,
        model: Model,
        follower: Follower,
        settings: Settings,
        stack: contextlib.AsyncExitStack,
    ) -> None:
        """Write the collection of each cluster, or watch who does; `stack` ends it."""
        known, owner = settings.milvus, secrets.token_hex(8)
        pace = Pace(known.lease_s, known.margin_s, known.audit_s)
        for base in self.clusters:
            base.read_from(StoredVectors(store, model))
            records = Projections(documents, base.name, model.version)
            projector = Projector(
                store, records, base, follower, model, self.established, owner, pace
            )
            watch = CollectionWatch(records, base, follower, projector, known.margin_s)
            for part in (projector, watch):
                part.start()
                stack.push_async_callback(part.stop)

    def trouble(self, follower: Follower) -> str | None:
        """Why questions can't be answered, for people; None while they can."""
        complete = follower.complete
        if complete is None:
            return self.clusters[0].trouble
        return _index(complete[0]).trouble

    def warning(self, follower: Follower) -> str | None:
        """Which clusters can't be asked though another one can, for people."""
        complete = follower.complete
        return None if complete is None else _index(complete[0]).warning

    def index_maker(self, work: Work) -> "partial[MilvusIndex]":
        """Makes an empty index with its files in a folder."""
        return partial(self.index, work)


def _index(index: VectorIndex) -> MilvusIndex:
    assert isinstance(index, MilvusIndex)
    return index
