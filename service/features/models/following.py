"""Keeps what a replica holds of models equal to what the store says, and tells the store."""

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
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
        self._following = asyncio.Lock()
        self._loading = asyncio.Lock()
        self._looking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._presence = Presence(store, replica)
        names = ("presence", "pointer", "encoders", "bundles")
        self._backgrounds = {name: Background(f"models-{name}") for name in names}

    async def appear(self) -> None:
        """Tell that this replica is there, from now on, so that promotions wait for it."""
        await self._tell()
        self._backgrounds["presence"].start(_again(self._tell, _TELL_S))

    def start(self) -> None:
        """Look now and then: at the pointer, whatever is loaded and read beside that."""
        self._backgrounds["pointer"].start(_again(self.follow, POLL_S))
        self._backgrounds["encoders"].start(_again(self._load, POLL_S))
        self._backgrounds["bundles"].start(_again(self._look, POLL_S))

    async def stop(self) -> None:
        """Follow no more; no other replica waits for this one then."""
        await self._presence.leave()
        for background in self._backgrounds.values():
            await background.stop()

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
        await self._tell_changes()  # what is shown here is what others are told
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
        """Follow the pointer, and load what it names and is not loaded yet.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        await self.follow()
        await self._load()

    async def follow(self) -> None:
        """Answer as the store says, by models that are loaded; no bundle is waited for.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        async with self._following:
            self.pointer = pointer = await self._store.pointer()
            target = await self.registry.get(pointer.target) if pointer.target else None
            self.live = live_of(pointer, target)
            await self._here.settle(pointer)
        await self._tell_changes()

    async def find(self, folder: str) -> tuple[FoundBundle, Files | None]:
        """Verify a bundle of this replica, and tell its files, as `know` takes them.

        Raises:
            InvalidRequest: there is none, or it can't be served.
        """
        files = await asyncio.to_thread(self.folder.files, folder)
        return await asyncio.to_thread(self.folder.find, folder), files

    def know(self, bundle: FoundBundle, files: Files | None) -> None:
        """Take note of a bundle that is registered now: it need not be read again."""
        name = bundle.manifest.model_version
        self._checked[name] = _Checked(bundle.sha256, bundle, files=files)

    async def _tell(self) -> None:
        with contextlib.suppress(StoreFull):  # told later; questions need no room
            await self._presence.tell(lambda: self.held)

    async def _tell_changes(self) -> None:
        if self.held != self._presence.told:
            await self._tell()

    async def _look(self) -> None:
        """Find out which bundles are here, once for each registration."""
        for model in (await self.registry.all()).values():
            await self._check(model)
            await self._tell_changes()

    async def _check(self, model: RegisteredModel) -> _Checked:
        name = model.model_version
        async with self._looking[name]:
            known = self._checked.get(name)
            if known is None or known.sha256 != model.sha256:
                known = self._checked[name] = await self._found(model)
            elif time.monotonic() >= known.again_at:
                known = self._checked[name] = await self._found(model, known)
            return known

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
        while missing := self._missing():
            async with self._loading:
                loaded = [name for name in missing if await self._is_opened(name)]
            if not loaded:
                break
            await self.follow()
        await self._tell_changes()

    def _missing(self) -> list[str]:
        names = (self.pointer.active, self.pointer.target)
        return [name for name in names if name and name not in self._here.encoders]

    async def _is_opened(self, name: str) -> bool:
        """Whether a model is loaded, which it is now if that is possible."""
        if name in self._here.encoders:  # by who was waited for
            return True
        model = await self.registry.get(name)
        checked = None if model is None else await self._check(model)
        if checked is None or checked.bundle is None or checked.problem:
            return False
        try:
            await self._here.open(checked.bundle)
        except Exception as error:  # noqa: BLE001 - the replica serves on without it
            _log.warning("model %s can't be loaded", name, exc_info=error)
            problem = f"it can't be loaded: {error}"
            again_at = time.monotonic() + _AGAIN_S
            self._checked[name] = replace(checked, problem=problem, again_at=again_at)
            return False
        _log.info("model %s is loaded", name)
        return True


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
