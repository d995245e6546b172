"""Makes the index that the settings name, and what saves it."""

import contextlib
import os
from collections.abc import Collection, Generator
from pathlib import Path
from typing import TYPE_CHECKING

from model_export.contract.bundle import Manifest
from service.engine.replica.snapshots import Model, Schedule, Snapshots
from service.errors import (
    StartupError,
)
from service.index.base import EXACT, VectorIndex
from service.index.faiss.ann.device import Device, NoDevice, device_of
from service.index.faiss.ann.segment import AUTOMATIC, check_factory
from service.index.faiss.index import FaissIndex
from service.index.faiss.segmented import Plan
from service.index.work import Work
from service.settings import Index, Settings

if TYPE_CHECKING:
    from service.bootstrap.milvus import MilvusParts

_READ_BY_THE_CLIENT = ("MILVUS_URI", "MILVUS_DEFAULT_CONNECTION")


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


def milvus_parts(
    settings: Settings,
    manifest: Manifest,
    established: Collection[str],
    stack: contextlib.AsyncExitStack,
) -> "MilvusParts":
    """The parts of an index in Milvus; `stack` closes them.

    Raises:
        StartupError: its client is not installed, or the settings don't fit.
    """
    try:
        with _empty_variables(_READ_BY_THE_CLIENT):
            from service.bootstrap.milvus import MilvusParts  # its client is an extra
    except ModuleNotFoundError as error:
        raise StartupError(
            f"STREAMER_INDEX__BACKEND=milvus needs the package {error.name}: "
            "pip install 'similar-streamer[milvus]'"
        ) from error
    return MilvusParts.of(settings, manifest, established, stack)


@contextlib.contextmanager
def _empty_variables(names: Collection[str]) -> Generator[None]:
    """Hide variables from a module that takes them for its own when it is imported.

    The client of Milvus fails on an address of two clusters, and prints its password. A variable
    that is removed, and not emptied, it would read from a file `.env`.
    """
    given = {name: os.environ[name] for name in names if name in os.environ}
    os.environ.update(dict.fromkeys(given, ""))
    try:
        yield
    finally:
        os.environ.update(given)


def index_device(settings: Settings) -> Device:
    """Where the index is searched.

    Raises:
        StartupError: there is no such device.
    """
    index = settings.index
    asked = index.device or settings.device
    try:
        return device_of("cpu" if index.kind == EXACT else asked, temp_mib=index.gpu_temp_mib)
    except NoDevice as error:
        name = "STREAMER_INDEX__DEVICE" if index.device else "STREAMER_DEVICE"
        raise StartupError(
            f"{name}={asked}: {error}; or search on the CPU: STREAMER_INDEX__DEVICE=cpu"
        ) from error


def snapshots_of(settings: Settings, manifest: Manifest) -> Snapshots:
    """The saved indexes of this replica."""
    known, every = settings.index, settings.index.snapshot_s
    return Snapshots(
        settings.snapshots_folder,
        Model(
            manifest.model_version,
            manifest.dim,
            manifest.content_dim,
            manifest.features_fingerprint,
        ),
        Schedule(every, known.snapshot_changes, known.snapshot_from_rows),
    )


def check_index(settings: Index, dim: int) -> None:
    """Refuse a kind of index that cannot be made.

    Raises:
        StartupError: why.
    """
    if settings.kind in (EXACT, AUTOMATIC):
        return
    try:
        check_factory(settings.kind, dim)
    except ValueError as error:
        raise StartupError(f"STREAMER_INDEX__KIND: {error}; or take auto, or exact") from error
