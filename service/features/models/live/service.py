"""The use-cases of shadows and canaries of a model that is ready."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace

from service.errors import ModelNotFound, ModelStateConflict, ShadowNotFound
from service.features.models.following import ModelFollower
from service.features.models.live.counting import ShadowCounts
from service.features.models.live.keeping import ShadowReports
from service.features.models.records import Live, RegisteredModel, Registry, live_of
from service.store.models.base import ModelPointer, ModelStore

_LOOK_S = 0.05
_SWITCH_S = 5.0
"""Longest wait until replicas do as they are told; one that does not follows."""


class LiveService:
    """Gives live questions to a model that is ready, beside the active one."""

    def __init__(
        self,
        registry: Registry,
        store: ModelStore,
        follower: ModelFollower,
        reports: ShadowReports,
        flush: Callable[[], Awaitable[None]],
    ) -> None:
        """Change what the registered models have to do with live questions.

        Args:
            registry: of models.
            store: which model serves.
            follower: what replicas do.
            reports: of shadows.
            flush: adds what this process has counted to the report.
        """
        self._registry = registry
        self._store = store
        self._follower = follower
        self._reports = reports
        self._flush = flush

    async def shadow(self, model_version: str, sample: float, *, is_anew: bool) -> None:
        """Ask a model what a sample of live callers asks; 0 ends that, and its report stays.

        Raises:
            ModelNotFound: it is not registered.
            ModelStateConflict: it is not ready.
        """
        pointer = await self._ready(model_version)
        before = live_of(pointer, await self._registry.get(model_version))
        begins = sample > 0 and (is_anew or before is None or not before.shadow_sample)
        run = secrets.token_hex(8)

        def change(live: Live) -> Live:
            return replace(live, shadow_sample=sample, run=run if begins else live.run)

        if begins:
            await self._reports.begin(self._report_of(pointer, model_version, run))
        await self._change(model_version, pointer, change)
        # Of two that began at once, the report may be the one's and the run the other's.
        live = live_of(pointer, await self._registry.get(model_version))
        report = await self._reports.get(model_version)
        if live is not None and live.run and report is not None and report.run != live.run:
            await self._reports.begin(self._report_of(pointer, model_version, live.run))

    async def canary(self, model_version: str, share: float) -> None:
        """Answer a share of the callers by a model; 0 ends that.

        Raises:
            ModelNotFound: it is not registered.
            ModelStateConflict: it is not ready.
        """
        pointer = await self._ready(model_version)
        await self._change(model_version, pointer, lambda live: replace(live, canary_share=share))

    async def report(self, model_version: str) -> ShadowCounts:
        """What the shadow of a model has found, on all replicas.

        Raises:
            ShadowNotFound: it has had none.
        """
        await self._flush()
        found = await self._reports.get(model_version)
        if found is None:
            raise ShadowNotFound(
                f"model {model_version!r} has had no shadow; once it is ready, POST "
                f"/v1/models/{model_version}:shadow begins one"
            )
        return found

    def _report_of(self, pointer: ModelPointer, model_version: str, run: str) -> ShadowCounts:
        return ShadowCounts(model_version, str(pointer.active), run, time.time())

    async def _ready(self, model_version: str) -> ModelPointer:
        """The pointer, of which a model is the target that is ready."""
        registered, pointer = await self._registry.all(), await self._store.pointer()
        if model_version == pointer.active:
            raise ModelStateConflict(
                f"model {model_version!r} is active itself: it answers every question"
            )
        if model_version not in registered:
            known = ", ".join(sorted(registered)) or "none"
            raise ModelNotFound(f"there is no model {model_version!r}; known: {known}")
        if pointer.target != model_version or pointer.state != "ready":
            is_target = pointer.target == model_version
            what = "is being backfilled" if is_target else "is not backfilled"
            remedy = "wait until it is ready" if is_target else "backfill it first"
            if pointer.target is not None and not is_target:
                remedy = f"model {pointer.target!r} is kept beside the active one; retire it first"
            raise ModelStateConflict(f"model {model_version!r} {what}: {remedy}")
        return pointer

    async def _change(
        self, model_version: str, pointer: ModelPointer, change: Callable[[Live], Live]
    ) -> None:
        first = Live(model_version, str(pointer.active), pointer.revision)

        def changed(record: RegisteredModel) -> RegisteredModel:
            return replace(record, live=change(live_of(pointer, record) or first))

        await self._registry.change(model_version, changed)
        await self._follower.follow()
        if self._follower.live is None:
            raise ModelStateConflict("the model was changed by others meanwhile: look again")
        deadline = time.monotonic() + _SWITCH_S
        while time.monotonic() < deadline:
            if await self._is_everywhere():
                return
            await asyncio.sleep(_LOOK_S)

    async def _is_everywhere(self) -> bool:
        """Whether all replicas do as this one does."""
        live, replicas = self._follower.live, await self._follower.replicas()
        wanted = None if live is None else asdict(live)
        return all(held.get("live") == wanted for held in replicas.values())
