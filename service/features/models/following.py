"""Keeps what a replica holds of models equal to what the store says, and tells the store."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from model_export.contract.bundle import Manifest
from service.engine.encoding.pipeline import EncodingPipeline
from service.engine.work.background import Background
from service.errors import ServiceError, StoreFull
from service.features.models.bundles import BundleFolder, FoundBundle
from service.features.models.records import RegisteredModel, Registry
from service.features.streamers.both_models import OtherModel
from service.store.models.base import ModelPointer, ModelStore

_log = logging.getLogger(__name__)
POLL_S = 0.2
"""Between two looks at the pointer: a promotion reaches every replica within a second."""
_NOTE_S = 1.0
_AGAIN_S = 10.0
"""After a bundle that was missing or wrong."""


class ModelsHere(Protocol):
    """The models that are open in this process.

    Attributes:
        serves: the one that answers; empty before the first.
    """

    serves: str

    @property
    def manifest(self) -> Manifest:
        """Of the model that answers."""
        ...

    @property
    def encoders(self) -> Mapping[str, EncodingPipeline]:
        """Of models that can encode, by version."""
        ...

    @property
    def indexed(self) -> Sequence[str]:
        """Models whose index has everything, so that they may answer at once."""
        ...

    async def open(self, bundle: FoundBundle) -> None:
        """Load a model's encoder.

        Raises:
            Exception: whatever is wrong with it.
        """
        ...

    async def settle(self, pointer: ModelPointer) -> None:
        """Open and close indexes, and answer by another model, as the store says; it is quick."""
        ...


@dataclass
class _Checked:
    """What was found of a registered bundle, and when it is looked for again."""

    sha256: str
    bundle: FoundBundle | None = None
    problem: str = ""
    again_at: float = field(default=float("inf"))


class ModelFollower:
    """What this replica holds: bundles, encoders, indexes.

    Attributes:
        replica: its name.
        registry: of models.
        pointer: what the store said last.
    """

    def __init__(
        self,
        store: ModelStore,
        registry: Registry,
        folder: BundleFolder,
        here: ModelsHere,
        replica: str,
    ) -> None:
        """Hold nothing before `refresh`.

        Args:
            store: which model serves.
            registry: of models.
            folder: where their bundles lie on this replica.
            here: the models that are open.
            replica: names this process among those that share the store.
        """
        self.replica = replica
        self.registry = registry
        self.folder = folder
        self.pointer = ModelPointer(0, None)
        self._store = store
        self._here = here
        self._checked: dict[str, _Checked] = {}
        self._refreshing = asyncio.Lock()
        self._background = Background("models")
        self._noted_at = 0.0
        self._noted: Mapping[str, Any] = {}

    def start(self) -> None:
        """Look now and then."""
        self._background.start(self._run())

    async def stop(self) -> None:
        """Follow no more."""
        await self._background.stop()

    def encoder(self, model_version: str) -> EncodingPipeline | None:
        """Encodes for a model, if it is loaded here."""
        return self._here.encoders.get(model_version)

    def served_manifest(self) -> Manifest:
        """Of the model that answers here."""
        return self._here.manifest

    def other_than(self, model_version: str) -> "OtherModelHeld":
        """The model that a write pipeline of `model_version` encodes for as well."""
        return OtherModelHeld(self, model_version)

    @property
    def held(self) -> Mapping[str, Any]:
        """What is told to the other replicas."""
        problems = {name: each.problem for name, each in self._checked.items() if each.problem}
        return {
            "serves": self._here.serves,
            "bundles": {n: e.sha256 for n, e in self._checked.items() if e.bundle is not None},
            "problems": problems,
            "encodes": sorted(self._here.encoders),
            "indexed": sorted(self._here.indexed),
        }

    async def refresh(self) -> None:
        """Look what the store says, load what it wants, and tell what is held.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        async with self._refreshing:
            self.pointer = await self._store.pointer()
            registered = await self.registry.all()
            await self._check(registered)
            await self._load()
            await self._here.settle(self.pointer)
            now = time.monotonic()
            held = self.held
            if held != self._noted or now - self._noted_at >= _NOTE_S:
                with contextlib.suppress(StoreFull):  # told later; questions need no room
                    await self._store.note_replica(self.replica, held)
                    self._noted, self._noted_at = held, now

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self.refresh()
            except ServiceError:
                pass  # the store's health tells it
            except Exception as error:  # noqa: BLE001 - soon it is asked again
                _log.warning("models can't be followed: %s", error)

    async def _check(self, registered: Mapping[str, RegisteredModel]) -> None:
        """Find out which bundles are here, once for each registration."""
        for name in self._checked.keys() - registered.keys():
            del self._checked[name]
        for name, model in registered.items():
            known = self._checked.get(name)
            is_new = known is None or known.sha256 != model.sha256
            if is_new or (known is not None and time.monotonic() >= known.again_at):
                self._checked[name] = await self._found(model)

    async def _found(self, model: RegisteredModel) -> _Checked:
        again_at = time.monotonic() + _AGAIN_S
        try:
            found = await asyncio.to_thread(self.folder.find, model.folder)
        except ServiceError as error:
            return _Checked(model.sha256, problem=error.detail, again_at=again_at)
        if found.sha256 != model.sha256:
            problem = f"the bundle in {model.folder} is another one than was registered"
            return _Checked(model.sha256, problem=problem, again_at=again_at)
        return _Checked(model.sha256, found)

    async def _load(self) -> None:
        """Have encoders of the models that writes are encoded for."""
        for name in (self.pointer.active, self.pointer.target):
            checked = None if name is None else self._checked.get(name)
            if checked is None or checked.bundle is None or name in self._here.encoders:
                continue
            try:
                await self._here.open(checked.bundle)
                _log.info("model %s is loaded", name)
            except Exception as error:  # noqa: BLE001 - the replica serves on without it
                _log.warning("model %s can't be loaded", name, exc_info=error)
                problem = f"it can't be loaded: {error}"
                again_at = time.monotonic() + _AGAIN_S
                self._checked[str(name)] = _Checked(checked.sha256, None, problem, again_at)


class OtherModelHeld(OtherModel):
    """The other one of the two models that writes are encoded for."""

    def __init__(self, follower: ModelFollower, model_version: str) -> None:
        """Beside `model_version`, by what `follower` knows."""
        self._follower = follower
        self._mine = model_version

    def pipeline(self) -> EncodingPipeline | None:
        """Encodes for it; None while there is none."""
        pointer = self._follower.pointer
        for name in (pointer.active, pointer.target):
            if name not in (None, self._mine):
                return self._follower.encoder(name)
        return None

    async def refresh(self) -> None:
        """Look what the store wants, and load what is missing for it."""
        await self._follower.refresh()
