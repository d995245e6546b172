"""Models as they are shown: what the store, the registry and the replicas say of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from service.errors import JobNotFound, ModelNotFound
from service.features.jobs.service import Jobs
from service.features.models.comparing.service import Comparing, Verdict
from service.features.models.following import ModelFollower
from service.features.models.records import Live, RegisteredModel, Registry, live_of
from service.store.jobs import Job
from service.store.models.base import ModelPointer, ModelStore

State = Literal["registered", "backfilling", "ready", "shadow", "canary", "active", "retired"]


@dataclass(frozen=True)
class ShownModel:
    """A model, as everybody may know it.

    Attributes:
        model_version: of the model.
        state: whether it serves, may, or is about to.
        record: of its registration; None of a model that only the settings name.
        job: its last backfill, while that is kept.
        replicas: what each replica holds, by name.
        gate: what it says of a model that is ready; None of others.
        warnings: what a promotion should be warned of.
        live: what it has to do with live questions; None if nothing.
    """

    model_version: str
    state: State
    record: RegisteredModel | None
    job: Job | None
    replicas: Mapping[str, Mapping[str, Any]]
    gate: Verdict | None = None
    warnings: Sequence[str] = ()
    live: Live | None = None


class ShownModels:
    """Reads models; changes nothing."""

    def __init__(
        self,
        registry: Registry,
        store: ModelStore,
        follower: ModelFollower,
        jobs: Jobs,
        comparing: Comparing,
    ) -> None:
        """Show models; the arguments are those of `service.Models`."""
        self._registry = registry
        self._store = store
        self._follower = follower
        self._jobs = jobs
        self._comparing = comparing

    async def all(self) -> Sequence[ShownModel]:
        """All that are registered, and the one that serves; in order of their registration."""
        registered, pointer = await self._registry.all(), await self._store.pointer()
        replicas = await self._follower.replicas()
        names = sorted(registered, key=lambda name: registered[name].registered_at)
        names += [n for n in (pointer.active, pointer.target) if n and n not in registered]
        return [await self._shown(n, registered.get(n), pointer, replicas) for n in names]

    async def get(self, model_version: str) -> ShownModel:
        """A model.

        Raises:
            ModelNotFound: it is not registered, and does not serve.
        """
        record, pointer = await self._registry.get(model_version), await self._store.pointer()
        if record is None and model_version not in (pointer.active, pointer.target):
            raise await self._unknown(model_version)
        return await self._shown(model_version, record, pointer, await self._follower.replicas())

    async def registered(self, model_version: str) -> RegisteredModel:
        """The record of a model.

        Raises:
            ModelNotFound: it is not registered.
        """
        record = await self._registry.get(model_version)
        if record is None:
            raise await self._unknown(model_version)
        return record

    async def _unknown(self, model_version: str) -> ModelNotFound:
        known = ", ".join(sorted(await self._registry.all())) or "none"
        return ModelNotFound(f"there is no model {model_version!r}; known: {known}")

    async def job_of(self, record: RegisteredModel) -> Job | None:
        """Its last backfill, while that is kept."""
        if not record.job_id:
            return None
        try:
            return await self._jobs.get(record.job_id)
        except JobNotFound:
            return None

    async def _shown(
        self,
        name: str,
        record: RegisteredModel | None,
        pointer: ModelPointer,
        replicas: Mapping[str, Mapping[str, Any]],
    ) -> ShownModel:
        state: State = "registered"
        if name == pointer.active:
            state = "active"
        elif name == pointer.target:
            state = "ready" if pointer.state == "ready" else "backfilling"
        elif record is not None and record.retired:
            state = "retired"
        job = None if record is None else await self.job_of(record)
        gate = None
        if state == "ready":
            gate = await self._comparing.verdict(pointer, "" if record is None else record.sha256)
        live = live_of(pointer, record)
        if live is not None and (live.canary_share or live.shadow_sample):
            state = "canary" if live.canary_share else "shadow"
        return ShownModel(name, state, record, job, replicas, gate, live=live)
