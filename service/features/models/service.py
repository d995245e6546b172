"""The life cycle of models: registered, backfilled, promoted, rolled back, retired."""

import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from service.errors import JobNotFound, JobStateConflict, ModelStateConflict
from service.features.jobs.service import Jobs, new_id
from service.features.models.backfill import KIND, missing_on
from service.features.models.bundles import check_compatible
from service.features.models.comparing.service import Comparing
from service.features.models.following import ModelFollower
from service.features.models.live.service import LiveService
from service.features.models.records import RegisteredModel, Registry
from service.features.models.showing import ShownModel, ShownModels
from service.features.models.switching import check_indexed, followed
from service.store.jobs import Job
from service.store.models.base import ModelPointer, ModelStore
from service.store.once import Once


class Models:
    """The use-cases of `/v1/models`."""

    def __init__(
        self,
        registry: Registry,
        store: ModelStore,
        follower: ModelFollower,
        jobs: Jobs,
        comparing: Comparing,
        live: LiveService,
    ) -> None:
        """Change models.

        Args:
            registry: of models.
            store: which model serves.
            follower: what this replica holds.
            jobs: where backfills are queued.
            comparing: the gate of promotions.
            live: shadows and canaries.
        """
        self._registry = registry
        self._store = store
        self._follower = follower
        self._jobs = jobs
        self._shown = ShownModels(registry, store, follower, jobs, comparing)
        self.comparing = comparing
        self.live = live

    async def all(self) -> Sequence[ShownModel]:
        """All models; see `ShownModels.all`."""
        return await self._shown.all()

    async def get(self, model_version: str) -> ShownModel:
        """A model; see `ShownModels.get`."""
        return await self._shown.get(model_version)

    async def register(self, folder: str, key_id: str) -> ShownModel:
        """Register the bundle of a folder; once more, where it was registered.

        Raises:
            InvalidRequest: there is none, or it can't take the place of the one that serves.
            ModelStateConflict: another one is being backfilled; the version was another bundle.
        """
        found, files = await self._follower.find(folder)
        manifest, name = found.manifest, found.manifest.model_version
        pointer = await self._store.pointer()  # after the bundle, which may take long to read
        if pointer.state in ("preparing", "backfilling"):
            raise ModelStateConflict(
                f"model {pointer.target!r} is being backfilled: register {name!r} when that is done"
            )
        check_compatible(manifest, self._follower.served_manifest())
        is_kept = name in (pointer.active, pointer.target)
        record = RegisteredModel(
            name,
            folder,
            found.sha256,
            manifest.recipe,
            manifest.created_by,
            manifest.dim,
            manifest.content_dim,
            time.time(),
            key_id,
            # Only what the settings named is kept without a record: it serves, or did.
            served=is_kept,
        )

        def registered(before: RegisteredModel | None) -> RegisteredModel:
            if before is None:
                return record
            was_kept = before.retired or before.job_id != ""  # or is, since the pointer was read
            if before.sha256 != found.sha256 and (is_kept or was_kept):
                was = f"is {pointer.state or 'active'}" if is_kept else "was kept before"
                raise ModelStateConflict(
                    f"model {name!r} {was} as another bundle, whose vectors a replica may have: "
                    "export the new one under another version"
                )
            return replace(
                record,
                job_id=before.job_id,
                served=before.served,
                live=before.live,
                streamers_per_s=before.streamers_per_s,
            )

        await self._registry.put(name, registered)
        self._follower.know(found, files)  # the others read it beside what they serve
        return await self.get(name)

    async def backfill(
        self,
        model_version: str,
        streamers_per_s: float | None,
        once: Once | None,
        by: tuple[str, str],
    ) -> Job:
        """Queue the job that encodes every stored streamer for a model, or let it go on.

        One that goes on takes another pace, if one is given.

        Raises:
            ModelNotFound: it is not registered.
            ModelStateConflict: it serves or is ready, another model is kept beside that one, its
                job is under way at another pace, or `once` names a job of an earlier backfill.
            IdempotencyKeyReused: another request has the name of this one.
            ModelNotEverywhere: a replica misses its bundle.
            TooManyJobs: too many are queued.
        """
        record = await self._shown.registered(model_version)
        pointer = await self._store.pointer()
        # Before the pointer is moved: the request would get that job, and nothing would follow.
        known = None if once is None else await self._jobs.queued_by(once)
        if known is not None:  # read again: both were changed before that job was queued
            record = await self._shown.registered(model_version)
            pointer = await self._store.pointer()
            _check_present(known, record, pointer)
            if known.state == "succeeded":
                return known
        if pointer.active == model_version:
            raise ModelStateConflict(f"model {model_version!r} is active already")
        if pointer.target not in (None, model_version):
            raise ModelStateConflict(
                f"model {pointer.target!r} is kept beside the active one: retire it first"
            )
        job = None
        if pointer.target == model_version:
            if pointer.state == "ready":
                raise ModelStateConflict(f"model {model_version!r} is ready: promote or retire it")
            job = await self._shown.job_of(record)
            if job is not None and job.state != "succeeded":
                return await self._gone_on(job, record, streamers_per_s, by)
            if streamers_per_s is None:  # its job may have been paused for longer than it is kept
                streamers_per_s = record.streamers_per_s
        else:
            await self._check_everywhere(record)
            if record.job_id:  # a retirement that did not come to its end
                await self._note_retired(record)
            begun = ModelPointer(0, pointer.active, model_version, "preparing")
            if await self._store.move(pointer, begun) is None:
                raise ModelStateConflict("the model was changed by others meanwhile: look again")
        job_id = await self._reserved(record, job, streamers_per_s)
        return await self._jobs.start(
            KIND, _asked(model_version, streamers_per_s), once=once, job_id=job_id, by=by
        )

    async def pause(self, model_version: str) -> ShownModel:
        """Stop its backfill where it stands; writes go on being encoded for both models.

        Raises:
            ModelNotFound: it is not registered.
            ModelStateConflict: it is not being backfilled.
        """
        job = await self._shown.job_of(await self._shown.registered(model_version))
        if job is None or job.state not in ("queued", "running"):
            raise ModelStateConflict(f"model {model_version!r} is not being backfilled")
        await self._jobs.cancel(job.job_id)
        return await self.get(model_version)

    async def promote(self, model_version: str, *, is_forced: bool = False) -> ShownModel:
        """Answer by a model that is ready, on all replicas.

        Raises:
            ModelNotFound: it is not registered.
            ModelStateConflict: it is active already, or not ready.
            ModelGateFailed: what people decided stands against it, and it is not forced.
            ModelNotEverywhere: a replica has not its index yet, or misses its bundle.
        """
        pointer = await self._store.pointer()
        if pointer.active == model_version:
            raise ModelStateConflict(f"model {model_version!r} is active already")
        if pointer.target != model_version or pointer.state != "ready":
            state = (await self.get(model_version)).state
            raise ModelStateConflict(
                f"model {model_version!r} is {state}: only a model that is ready can be promoted"
            )
        record = await self._registry.get(model_version)
        sha256 = "" if record is None else record.sha256
        warnings = await self.comparing.check(pointer, sha256, is_forced=is_forced)
        warnings += await self._swap(pointer)
        return replace(await self.get(model_version), warnings=warnings)

    async def roll_back(self, once: Once | None = None, leaving: str | None = None) -> ShownModel:
        """Answer by the model that is kept beside the active one, as before the promotion.

        Args:
            once: names the request: sent again, it would undo itself.
            leaving: the model that is active, as the caller believes: somebody else's roll-back
                would be undone otherwise. None: whichever is.

        Raises:
            IdempotencyKeyReused: another request has the name of this one.
            ModelStateConflict: none is kept, or another one than `leaving` is active.
            ModelNotEverywhere: a replica that serves has not its index. One that starts is not
                waited for, and named in `warnings`: it may never start with the active model.
        """
        pointer = await self._store.pointer()
        if once is not None and await self._store.was_done(once):  # looked at after the pointer
            return await self.get(str((await self._store.pointer()).active))
        if leaving not in (None, pointer.active):
            raise ModelStateConflict(
                f"model {pointer.active!r} is active, not {leaving!r}: nothing was changed; look "
                "at GET /v1/models, and promote the model that you want"
            )
        if pointer.target is None or pointer.state != "ready":
            raise ModelStateConflict("no model is kept beside the active one to roll back to")
        record = await self._registry.get(pointer.target)
        if record is not None and not record.served:
            raise ModelStateConflict(
                f"model {pointer.target!r} has not served yet: there is nothing to roll back to; "
                f"POST /v1/models/{pointer.target}:promote lets it answer"
            )
        warnings = await self._swap(pointer, once, is_back=True)
        shown = await self.get(str((await self._store.pointer()).active))
        return replace(shown, warnings=warnings)

    async def retire(self, model_version: str) -> ShownModel:
        """Keep a model no longer beside the active one: writes are encoded for one model again.

        A retirement that did not come to its end is brought there.

        Raises:
            ModelNotFound: it is not registered.
            ModelStateConflict: it is active, or not kept.
        """
        # The record first: a backfill that begins behind the pointer changes it.
        record, pointer = await self._registry.get(model_version), await self._store.pointer()
        if pointer.active == model_version:
            raise ModelStateConflict(
                f"model {model_version!r} is active: promote another one first"
            )
        if pointer.target == model_version:
            if await self._store.move(pointer, ModelPointer(0, pointer.active)) is None:
                raise ModelStateConflict("the model was changed by others meanwhile: look again")
        elif record is None or not (record.job_id or record.served or record.live):
            await self.get(model_version)
            raise ModelStateConflict(f"model {model_version!r} is not kept")
        if record is not None:
            await self._note_retired(record)
        await self._follower.follow()
        return await self.get(model_version) if record else await self.get(str(pointer.active))

    async def _swap(
        self, pointer: ModelPointer, once: Once | None = None, *, is_back: bool = False
    ) -> list[str]:
        """Let active and target change places; warns of replicas that do not follow in time."""
        active, target = str(pointer.active), str(pointer.target)
        await check_indexed(self._follower, target, is_back=is_back)
        # Before the change, whose answer may get lost: without it there would be no way back.
        await self._registry.update(active, served=True)
        after = ModelPointer(0, target, active, "ready")
        if await self._store.move(pointer, after, once) is None:
            now = await self._store.pointer()
            came_twice = once is not None and await self._store.was_done(once)
            if not came_twice and (now.active, now.target) != (target, active):
                raise ModelStateConflict("the model was changed by others meanwhile: look again")
            target = str(now.active)
        await self._follower.follow()
        return await followed(self._follower, target, is_back=is_back)

    async def _gone_on(
        self,
        job: Job,
        record: RegisteredModel,
        streamers_per_s: float | None,
        by: tuple[str, str],
    ) -> Job:
        """Let a backfill go on that was begun."""
        name, asked = record.model_version, _asked(record.model_version, streamers_per_s)
        if job.state in ("failed", "cancelled"):
            if streamers_per_s is None:
                return await self._jobs.retry(job.job_id, by)
            await self._registry.update(name, streamers_per_s=streamers_per_s)
            return await self._jobs.retry(job.job_id, by, asked)
        if job.is_cancelling:
            raise ModelStateConflict(
                f"the backfill of model {name!r} is being paused: ask again when it is"
            )
        if streamers_per_s is not None and json.loads(job.input) != asked:
            raise ModelStateConflict(
                f"model {name!r} is being backfilled at another pace: pause it before you ask for "
                "streamers_per_s"
            )
        return job

    async def _reserved(
        self, record: RegisteredModel, last: Job | None, streamers_per_s: float | None
    ) -> str:
        """The id of the next backfill of a model: the same one for all that begin it at once.

        Args:
            record: of the model, as it was read before.
            last: its job, which has ended; None where it is not known.
            streamers_per_s: its pace, which is noted.
        """
        ended = "" if last is None else record.job_id

        def reserve(now: RegisteredModel) -> RegisteredModel:
            if now.sha256 != record.sha256:
                raise ModelStateConflict(
                    f"model {now.model_version!r} was registered as another bundle meanwhile: "
                    "retire it, then backfill it again"
                )
            paced = replace(now, streamers_per_s=streamers_per_s)
            if now.job_id not in ("", ended):  # another one did, and may not have queued it yet
                return paced if now.job_id == record.job_id else now  # its job is gone, or theirs
            return replace(paced, job_id=new_id(), retired=False, served=False, live=None)

        reserved = await self._registry.change(record.model_version, reserve)
        return new_id() if reserved is None else reserved.job_id

    async def _note_retired(self, record: RegisteredModel) -> None:
        """Write down that a model is kept no more, unless another backfill of it began."""
        job = await self._shown.job_of(record)
        if job is not None and job.state in ("queued", "running"):
            with contextlib.suppress(JobStateConflict, JobNotFound):  # it has ended meanwhile
                await self._jobs.cancel(job.job_id)

        def retired(now: RegisteredModel) -> RegisteredModel:
            if now.job_id != record.job_id:
                return now
            return replace(now, retired=True, served=False, job_id="", live=None)

        await self._registry.change(record.model_version, retired)

    async def _check_everywhere(self, record: RegisteredModel) -> None:
        replicas = await self._follower.replicas()
        bundles = {name: held["bundles"] for name, held in replicas.items()}
        wanted, name = record.sha256, record.model_version
        missing = [each for each, held in bundles.items() if held.get(name) != wanted]
        if missing:
            raise missing_on(name, missing, replicas)


def _check_present(job: Job, record: RegisteredModel, pointer: ModelPointer) -> None:
    """Check that a job is that of a model's present backfill.

    Raises:
        ModelStateConflict: it is the job of a backfill whose model was retired.
    """
    is_kept = record.model_version in (pointer.active, pointer.target)
    if not (is_kept and job.job_id == record.job_id):
        raise ModelStateConflict(
            f"this Idempotency-Key began an earlier backfill, job {job.job_id}, and model "
            f"{record.model_version!r} was retired since: send another key"
        )


def _asked(model_version: str, streamers_per_s: float | None) -> dict[str, Any]:
    """What the job of a backfill needs to know."""
    return {"model_version": model_version, "streamers_per_s": streamers_per_s}
