"""Opens the models that the store wants, and lets the one that is active answer."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from model_export.contract.bundle import Manifest
from service.bootstrap.find import NAMES
from service.bootstrap.models.duties import Duties
from service.bootstrap.models.loading import LoadedModel, load
from service.bootstrap.models.shared import Shared
from service.engine.encoding.pipeline import EncodingPipeline
from service.engine.folders import OwnFolder, OwnFolders
from service.engine.names.follower import remove_unused
from service.engine.work.lanes import Lanes
from service.errors import ModelMismatch, ServiceError
from service.features.models.bundles import FoundBundle
from service.features.models.following import ModelsHere
from service.index.base import VectorIndex
from service.index.maintenance import Maintained
from service.services import Services
from service.settings import Settings
from service.store.models.base import ModelPointer

_log = logging.getLogger(__name__)
_LEAVE_S = 60.0
"""Questions that began before a model was retired have ended by then."""
_AGAIN_S = 10.0
_FOLDER = "second-models"
"""Below the data folder; nobody keeps bundles there, which would be taken for what was left."""
_THERE_AND_BACK = 4
"""Changes of the pointer, at least, from a target that is ready to the same one that was retired
and is ready again."""

OpenGraph = Callable[
    [Shared, LoadedModel, Duties, Callable[[str], None] | None],
    AbstractAsyncContextManager[Services],
]


@dataclass(eq=False)
class _Model:
    """A model that is open, and its services once they are.

    `folder` is of its files; None for the data folder. `closing` closes its encoder, `graph` its
    services. `is_behind`: writes were not encoded for it since it was begun.
    """

    loaded: LoadedModel
    closing: AsyncExitStack
    folder: OwnFolder | None = None
    graph: AsyncExitStack = field(default_factory=AsyncExitStack)
    duties: Duties = field(default_factory=Duties)
    services: Services | None = None
    opening: "asyncio.Task[None] | None" = None
    is_prepared: bool = False
    is_behind: bool = False

    @property
    def is_begun(self) -> bool:
        """Whether it has an index, complete or not."""
        return self.services is not None or self.opening is not None

    @property
    def is_indexed(self) -> bool:
        """Whether it may answer at once, and as fast as it is going to, in each space too."""
        return (
            self.has_index and self.services is not None and self.services.spaces.active.is_complete
        )

    @property
    def has_index(self) -> bool:
        """Whether its index is complete, and as fast as it is going to be."""
        if self.services is None:
            return False
        follower = self.services.operations.serving.follower
        if not follower.is_ready or follower.behind_because is not None:
            return False
        if not self.is_prepared:
            index = follower.index
            self.is_prepared = not (isinstance(index, Maintained) and index.is_due())
        return self.is_prepared


class ModelHost(ModelsHere):
    """The models of this process.

    A question takes `switch.current` once, when it begins, and has the services of one model until
    it ends: a promotion is one assignment.
    """

    def __init__(self, settings: Settings, lanes: Lanes, open_graph: OpenGraph) -> None:
        """Nothing is open yet.

        Args:
            settings: of the service, with the bundle that it was started with.
            lanes: where work is done.
            open_graph: opens the services of a model.
        """
        self.serves = ""
        self._settings = settings
        self._lanes = lanes
        self._open_graph = open_graph
        self._shared: Shared | None = None
        self._models: dict[str, _Model] = {}
        self._folders = OwnFolders(settings.data_dir / _FOLDER)
        self._tasks: set[asyncio.Task[None]] = set()
        self._handing = asyncio.Lock()
        self._settled = 0

    @property
    def manifest(self) -> Manifest:
        """Of the model that answers."""
        return self._models[self.serves].loaded.manifest

    @property
    def encoders(self) -> Mapping[str, EncodingPipeline]:
        """Of models that can encode, by version."""
        return {name: model.loaded.pipeline for name, model in self._models.items()}

    @property
    def indexed(self) -> Sequence[str]:
        """Models whose index has everything, and that have what spaces serve."""
        return [name for name, model in self._models.items() if model.is_indexed]

    @property
    def indexes(self) -> Mapping[str, VectorIndex | None]:
        """Of models that are open; None of those that lack something."""
        found: dict[str, VectorIndex | None] = {}
        for name, model in self._models.items():
            services = model.services if model.has_index else None
            found[name] = services and services.operations.serving.follower.index
        return found

    async def open_first(self) -> LoadedModel:
        """Load the bundle of the settings.

        Raises:
            StartupError: the settings ask for what the bundle has not.
            BundleError: the bundle can't be trusted.
        """
        return await self._open(self._settings, begin=True)

    async def start(self, shared: Shared, tell: Callable[[str], None]) -> Services:
        """Answer by the model that is active, or by the first one on a store that knows no other.

        Raises:
            StartupError: that can't be.
        """
        self._shared = shared
        await shared.models.appear()  # before the pointer is read: nobody moves it unseen
        await asyncio.to_thread(self._folders.sweep)
        (first,) = self._models
        pointer = await shared.kept_models.pointer()
        name = await self._first_to_serve(first, pointer)
        model = self._models[name]
        if name == pointer.active:  # nothing is encoded again, whoever promotes another one now
            settings = model.loaded.settings.model_copy(update={"reencode": False})
            model.loaded = replace(model.loaded, settings=settings)
        graph = self._open_graph(shared, model.loaded, model.duties, tell)
        model.services = shared.switch.current = await model.graph.enter_async_context(graph)
        self.serves = name
        await shared.models.refresh()
        model.duties.begin()
        shared.models.start()
        shared.live.start()
        return model.services

    async def stop(self) -> None:
        """Close all models; the one that serves ends its work first."""
        if self._shared is not None:
            await self._shared.live.stop()
            await self._shared.models.stop()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for name in sorted(self._models, key=lambda name: name != self.serves):
            await self._close(self._models.pop(name))

    async def open(self, bundle: FoundBundle) -> None:
        """Load a model's encoder; see `ModelsHere.open`."""
        folder = self._folders.new(bundle.manifest.model_version)
        await self._open(self._beside(bundle.path, folder.path), begin=False, folder=folder)

    async def settle(self, pointer: ModelPointer) -> None:
        """Open and close indexes, and answer by another model; see `ModelsHere.settle`."""
        kept = {pointer.active, pointer.target, self.serves}
        may_have_missed = pointer.revision - self._settled >= _THERE_AND_BACK
        self._settled = pointer.revision
        for name, model in list(self._models.items()):
            if name not in kept:
                self._leave(self._models.pop(name))
                continue
            # Also of the one that serves on here, after it was retired elsewhere.
            is_ready = name == pointer.target and pointer.state == "ready"
            if model.is_begun and pointer.active is not None:
                model.is_behind |= name != pointer.active and not is_ready
            if model.is_begun and name != self.serves and (model.is_behind or may_have_missed):
                self._models[name] = self._begun_anew(model)
        ready = [pointer.active, pointer.target if pointer.state == "ready" else None]
        for name in ready:
            model = self._models.get(name or "")
            if model is not None and not model.is_begun:
                model.opening = asyncio.create_task(self._open_services(model))
        active = self._models.get(pointer.active or "")
        if active is not None and pointer.active != self.serves and active.is_indexed:
            self._serve(str(pointer.active), active)

    def _begun_anew(self, model: _Model) -> _Model:
        """A model with its encoder alone; its index goes, and is opened again once it is ready.

        It was complete before the model was retired, and lacks what was written since.
        """
        anew = _Model(model.loaded, model.closing)
        self._make_second(anew)
        model.closing = AsyncExitStack()  # who writes needs the encoder at any time
        self._leave(model)
        return anew

    async def _open(
        self, settings: Settings, *, begin: bool, folder: OwnFolder | None = None
    ) -> LoadedModel:
        closing = AsyncExitStack()
        try:
            loaded = await load(settings, self._lanes, closing, begin=begin)
        except BaseException:
            await closing.aclose()
            raise
        self._models[loaded.manifest.model_version] = _Model(loaded, closing, folder)
        return loaded

    async def _first_to_serve(self, first: str, pointer: ModelPointer) -> str:
        """The model that answers from the start on; it is loaded.

        Raises:
            ModelMismatch: it can't be loaded here, and the settings' model is kept beside it.
        """
        active, is_kept = pointer.active, pointer.target == first
        if active in (None, first) or (self._settings.reencode and not is_kept):
            return first
        name = await self._open_active(str(active))
        if name is None and is_kept:  # to encode all again would undo the promotion for everybody
            raise ModelMismatch(
                f"model {active} was promoted over {first}, which is kept beside it, and the "
                f"bundle of {active} can't be used here: put it back below "
                "STREAMER_MODELS__FOLDER, or start with --bundle and its folder"
            )
        if name is None:
            return first
        if self._settings.reencode:
            _log.warning(
                "--reencode (STREAMER_REENCODE) is ignored: model %s of the settings is kept "
                "beside the active one; roll back to it, or retire it and start again",
                first,
            )
        _log.warning("model %s was promoted, it answers in place of %s", name, first)
        self._make_second(self._models[first])
        return name

    @property
    def _shared_now(self) -> Shared:
        assert self._shared is not None
        return self._shared

    async def _open_active(self, name: str) -> str | None:
        """Load the model that was promoted since the settings were written, if it is here."""
        models = self._shared_now.models
        registered = await models.registry.get(name)
        if registered is None:
            return None
        try:
            found = await asyncio.to_thread(models.folder.find, registered.folder)
        except ServiceError as error:
            _log.warning("the active model %s is not here: %s", name, error.detail)
            return None
        if found.sha256 != registered.sha256:
            _log.warning("the bundle in %s is not the one that was promoted", found.path)
            return None
        await self._open(self._settings.model_copy(update={"bundle": found.path}), begin=False)
        return name if name in self._models else None

    def _make_second(self, model: _Model) -> None:
        """Give a model that does not answer files of its own."""
        loaded = model.loaded
        model.folder = self._folders.new(loaded.manifest.model_version)
        model.loaded = loaded.with_files(self._beside(loaded.settings.bundle, model.folder.path))

    def _beside(self, bundle: Path, folder: Path) -> Settings:
        """Settings of a model that is opened beside another one: with files of its own.

        Jobs are those of the process. An erasure finds snapshots in one folder alone, so that the
        model has none until the process is started with it.
        """
        known = self._settings
        return known.model_copy(
            update={
                "bundle": bundle,
                "data_dir": folder,
                "reencode": False,
                "index": known.index.model_copy(update={"snapshot_s": 0}),
                "jobs": known.jobs.model_copy(update={"spool_dir": known.spool_folder}),
                "spaces": known.spaces.model_copy(update={"spool_dir": None}),
            }
        )

    async def _open_services(self, model: _Model) -> None:
        try:
            if model.folder is not None:
                await asyncio.to_thread(model.folder.make)
            graph = self._open_graph(self._shared_now, model.loaded, model.duties, None)
            model.services = await model.graph.enter_async_context(graph)
        except Exception as error:  # noqa: BLE001 - the other one serves on; this is tried again
            trace = None if isinstance(error, OSError) else error  # such as a full disk
            name = model.loaded.manifest.model_version
            _log.error("model %s can't be opened: %s", name, error, exc_info=trace)
            await asyncio.sleep(_AGAIN_S)
            model.duties, model.opening = Duties(), None  # of what was opened halfway

    def _serve(self, name: str, model: _Model) -> None:
        assert model.services is not None
        before = self._models[self.serves]
        self._shared_now.switch.current = model.services
        self.serves = name
        _log.info("model %s answers", name)
        self._start(self._hand_over(before, model), "duties go over")

    async def _hand_over(self, before: _Model, after: _Model) -> None:
        """Not waited for: a job that is stopped may wait for whoever switches."""
        async with self._handing:
            await before.duties.end()
            if after.services is self._shared_now.switch.current:
                after.duties.begin()

    def _leave(self, model: _Model) -> None:
        """Close a model once the questions that it was asked have ended."""

        async def leave() -> None:
            try:
                await asyncio.sleep(_LEAVE_S)
            finally:
                await self._close(model)
                # It would lack what is written until its model comes back, and names would miss
                # erasures.
                await asyncio.to_thread(model.loaded.snapshots.discard, "its model is retired")
                if model.folder is None:
                    await asyncio.to_thread(remove_unused, self._settings.data_dir / NAMES)

        self._start(leave(), "a model leaves")

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _close(self, model: _Model) -> None:
        if model.opening is not None:
            model.opening.cancel()
            await asyncio.gather(model.opening, return_exceptions=True)
        await model.duties.end()  # jobs are given back while there is all that they work with
        await model.graph.aclose()
        await model.closing.aclose()
        if model.folder is not None:
            await asyncio.to_thread(model.folder.remove)
