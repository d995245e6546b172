"""Keeps what a replica holds of models equal to what the store says, and tells the store."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from model_export.contract.bundle import Manifest
from service.engine.encoding.pipeline import EncodingPipeline
from service.engine.replica.presence import Presence
from service.engine.work.background import Background
from service.errors import ServiceError, StoreFull
from service.features.models.bundles import BundleFolder, Files, FoundBundle
from service.features.models.records import Live, RegisteredModel, Registry, live_of
from service.features.streamers.both_models import OtherModel
from service.index.base import VectorIndex
from service.store.models.base import ModelPointer, ModelStore

_log = logging.getLogger(__name__)
POLL_S = 0.2
"""Between two looks at the pointer: a promotion reaches every replica within a second."""
_TELL_S = 1.0
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
        """Models whose index has everything, and that have what spaces serve: they may answer."""
        ...

    @property
    def indexes(self) -> Mapping[str, VectorIndex | None]:
        """Of models that are open, by version; None of those that lack something."""
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
    """What was found of a registered bundle, and when it is looked for again.

    Attributes:
        sha256: as it is registered.
        bundle: it, once its files were verified.
        problem: why it can't be used; empty if it can.
        again_at: when that is looked at again.
        files: that were verified, or not; None where these say nothing about another look.
    """

    sha256: str
    bundle: FoundBundle | None = None
    problem: str = ""
    again_at: float = float("inf")
    files: Files | None = None


class ModelFollower:
    """What this replica holds: bundles, encoders, indexes.

    Attributes:
        replica: its name.
        registry: of models.
        pointer: what the store said last.
        live: what its target has to do with live questions; None if nothing.
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
        self.live: Live | None = None
        self._store = store
        self._here = here
        self._checked: dict[str, _Checked] = {}
        self._refreshing = asyncio.Lock()
        self._background = Background("models")
        self._presence = Presence(store, replica)
        self._presence_background = Background("models-presence")
        self._live_background = Background("models-live")

    def start(self) -> None:
        """Look now and then, and tell all the time: to load a model may take long."""
        self._background.start(_again(self.refresh, POLL_S))
        self._presence_background.start(_again(self._tell, _TELL_S))
        self._live_background.start(_again(self.refresh_live, POLL_S))

    async def stop(self) -> None:
        """Follow no more; no other replica waits for this one then."""
        await self._presence.leave()
        await self._background.stop()
        await self._presence_background.stop()
        await self._live_background.stop()

    def encoder(self, model_version: str) -> EncodingPipeline | None:
        """Encodes for a model, if it is loaded here."""
        return self._here.encoders.get(model_version)

    def index_beside(self, model_version: str) -> tuple[str, VectorIndex | None] | None:
        """Another model that is open here, and its index if it has everything; None without one."""
        return next((o for o in self._here.indexes.items() if o[0] != model_version), None)

    def is_indexed(self, model_version: str) -> bool:
        """Whether a model may answer here at once."""
        return model_version in self._here.indexed

    def served_manifest(self) -> Manifest:
        """Of the model that answers here."""
        return self._here.manifest

    def other_than(self, model_version: str) -> "OtherModelHeld":
        """The model that a write pipeline of `model_version` encodes for as well."""
        return OtherModelHeld(self, model_version)

    async def replicas(self) -> Mapping[str, Mapping[str, Any]]:
        """What replicas hold, by name: this one at the moment, others as they told it lately.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        if self.held != self._presence.told:  # what is shown here is what others are told
            await self._tell()
        return {**await self._store.replicas(), self.replica: self.held}

    @property
    def held(self) -> Mapping[str, Any]:
        """What is told to the other replicas."""
        problems = {name: each.problem for name, each in self._checked.items() if each.problem}
        return {
            "serves": self._here.serves,
            "bundles": {n: e.sha256 for n, e in self._checked.items() if not e.problem},
            "problems": problems,
            "encodes": sorted(self._here.encoders),
            "indexed": sorted(self._here.indexed),
            "live": None if self.live is None else asdict(self.live),
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
        if self.held != self._presence.told:
            await self._tell()

    async def refresh_live(self) -> None:
        """Look what live questions the target gets; a bundle that is read keeps nobody waiting.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        pointer = await self._store.pointer()
        registered = await self.registry.get(pointer.target) if pointer.target else None
        self.live = live_of(pointer, registered)
        if self.held != self._presence.told:
            await self._tell()

    async def _tell(self) -> None:
        with contextlib.suppress(StoreFull):  # told later; questions need no room
            await self._presence.tell(lambda: self.held)

    async def _check(self, registered: Mapping[str, RegisteredModel]) -> None:
        """Find out which bundles are here, once for each registration."""
        for name in self._checked.keys() - registered.keys():
            del self._checked[name]
        for name, model in registered.items():
            known = self._checked.get(name)
            if known is None or known.sha256 != model.sha256:
                self._checked[name] = await self._found(model)
            elif time.monotonic() >= known.again_at:
                self._checked[name] = await self._found(model, known)

    async def _found(self, model: RegisteredModel, before: _Checked | None = None) -> _Checked:
        """What is found now; files that are as `before` are not read again."""
        again_at = time.monotonic() + _AGAIN_S
        files = await asyncio.to_thread(self.folder.files, model.folder)
        if before is not None and files is not None and files == before.files:
            if before.bundle is None:
                return replace(before, again_at=again_at)
            return _Checked(model.sha256, before.bundle, files=files)  # to be loaded again
        try:
            found = await asyncio.to_thread(self.folder.find, model.folder)
        except ServiceError as error:
            files = None if _is_of_reading(error) else files
            return _Checked(model.sha256, None, error.detail, again_at, files)
        if found.sha256 != model.sha256:
            problem = f"the bundle in {model.folder} is another one than was registered"
            return _Checked(model.sha256, None, problem, again_at, files)
        return _Checked(model.sha256, found, files=files)

    async def _load(self) -> None:
        """Have encoders of the models that writes are encoded for."""
        for name in (self.pointer.active, self.pointer.target):
            checked = None if name is None else self._checked.get(name)
            if checked is None or checked.bundle is None or name in self._here.encoders:
                continue
            if checked.problem:  # it could not be loaded a moment ago
                continue
            try:
                await self._here.open(checked.bundle)
                _log.info("model %s is loaded", name)
            except Exception as error:  # noqa: BLE001 - the replica serves on without it
                _log.warning("model %s can't be loaded", name, exc_info=error)
                problem = f"it can't be loaded: {error}"
                again_at = time.monotonic() + _AGAIN_S
                self._checked[str(name)] = replace(checked, problem=problem, again_at=again_at)


async def _again(call: Callable[[], Awaitable[None]], every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        try:
            await call()
        except ServiceError:
            pass  # the store's health tells it
        except Exception as error:  # noqa: BLE001 - soon it is asked again
            _log.warning("models can't be followed: %s", error)


def _is_of_reading(error: BaseException | None) -> bool:
    """Whether files could not be read, which passes without a change of theirs."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__
    return error is not None


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
