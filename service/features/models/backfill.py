"""Jobs that encode every stored streamer for the next model, beside the vectors that are served."""

import asyncio
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from pydantic import ValidationError

from model_export.contract.errors import first_problem
from model_export.contract.streamer import StreamerProfile
from service.engine.encoding.pipeline import EncodedProfile, EncodingPipeline
from service.engine.encoding.profile_reader import ToRead
from service.engine.work.lanes import Lane, Lanes
from service.engine.work.large_json import LARGE_BYTES, loads
from service.errors import InvalidRequest, ModelNotEverywhere, ModelStateConflict, ServiceError
from service.features.jobs.runner import Kind, RunningJob, persist
from service.features.models.following import ModelFollower
from service.features.streamers.records import record_of
from service.scopes import Scope
from service.store.base import Record, StreamerStore
from service.store.models.base import ModelPointer, ModelStore, NotTheTarget, SecondVectors

KIND = "model_backfill"
_CHUNK = 100
_LOOK_S = 0.2


class BackfillJobs(Kind):
    """The work of backfills. One that ends in the middle goes on where it stood."""

    is_alone = True
    scope: Scope = "admin"

    def __init__(
        self,
        store: StreamerStore,
        models: ModelStore,
        follower: ModelFollower,
        lanes: Lanes,
        *,
        keep_bytes: bool,
        timeout_s: float,
    ) -> None:
        """Encode what `store` holds.

        Args:
            store: of the streamers.
            models: takes the vectors.
            follower: what this replica holds.
            lanes: where profiles are read.
            keep_bytes: as of writes.
            timeout_s: how long replicas have to load the model.
        """
        self._store = store
        self._models = models
        self._follower = follower
        self._lanes = lanes
        self._keep_bytes = keep_bytes
        self._timeout_s = timeout_s

    async def run(self, job: RunningJob) -> Mapping[str, Any]:
        """Encode them; see `service.features.jobs.runner.Kind`."""
        model, pace = job.input["model_version"], job.input["streamers_per_s"]
        pointer = await self._begun(model)
        pipeline = self._follower.encoder(model)
        if pipeline is None:
            why = {"problems": {model: "its encoder is not loaded"}}
            raise missing_on(model, [self._follower.replica], {self._follower.replica: why})
        after, done = job.checkpoint.get("after", ""), job.job.done
        if pointer.state == "ready":
            return {"model_version": model, "streamers": done}
        since = await self._since(pointer)
        if job.checkpoint.get("since") != since:
            # The model was retired meanwhile, and writes were not encoded for it.
            after, done = "", 0
            await job.advance({"after": after, "since": since}, done)
        total = await persist(self._store.count)
        while ids := await persist(partial(self._store.list_ids, after, _CHUNK)):
            for part in await persist(partial(self._store.chunks, ids)):
                began = time.monotonic()
                await self._encode(job, pipeline, part, done, since)
                after, done = part[-1], done + len(part)
                if pace:
                    await asyncio.sleep(began + len(part) / pace - time.monotonic())
            total = max(total, done)
        await self._moved(pointer, replace(pointer, state="ready"))
        return {"model_version": model, "streamers": done}

    async def _begun(self, model: str) -> ModelPointer:
        """The pointer, once every replica encodes what is written for the model too."""
        pointer = await persist(self._models.pointer)
        if pointer.target != model:
            raise ModelStateConflict(f"model {model!r} is no target any more: backfill it again")
        deadline = time.monotonic() + self._timeout_s
        while pointer.state == "preparing":
            await persist(self._follower.refresh)
            replicas = await persist(self._follower.replicas)
            missing = [name for name, held in replicas.items() if model not in held["encodes"]]
            if not missing:
                return await self._moved(pointer, replace(pointer, state="backfilling"))
            if time.monotonic() > deadline:
                raise missing_on(model, missing, replicas)
            await asyncio.sleep(_LOOK_S)
        await persist(self._follower.refresh)
        return pointer

    async def _since(self, pointer: ModelPointer) -> str:
        """Names the time since which each write is encoded for the target, until it is retired."""
        return f"{(await persist(self._store.position)).epoch}:{pointer.revision}"

    async def _moved(self, before: ModelPointer, after: ModelPointer) -> ModelPointer:
        moved = await persist(lambda: self._models.move(before, after))
        now = moved or await persist(self._models.pointer)
        if (now.target, now.state) != (after.target, after.state):  # a lost answer is no failure
            raise ModelStateConflict("the model was changed by others meanwhile")
        return now

    async def _encode(
        self,
        job: RunningJob,
        pipeline: EncodingPipeline,
        ids: Sequence[str],
        done: int,
        since: str,
    ) -> None:
        model, lanes = pipeline.model_version, self._lanes
        records = [each for each in await persist(lambda: self._store.get(ids)) if each is not None]
        items = await persist(lambda: lanes.run_in_slices(_read(records, model), Lane.BULK))
        encoded = await persist(lambda: pipeline.encode_many(items))
        vectors = await persist(
            lambda: lanes.run_in_slices(self._made(records, encoded, model), Lane.BULK)
        )
        try:
            await job.advance_with(
                lambda step: self._models.add(vectors, step),
                {"after": ids[-1], "since": since},
                after=done,
                done=done + len(ids),
            )
        except NotTheTarget as error:
            raise ModelStateConflict(f"{error}: backfill it again") from error

    def _made(
        self,
        records: Sequence[Record],
        encoded: Sequence[EncodedProfile | ServiceError],
        model: str,
    ) -> Generator[None, None, list[SecondVectors]]:
        made: list[SecondVectors] = []
        for record, each in zip(records, encoded, strict=True):
            if isinstance(each, ServiceError):
                raise _unreadable(record, model, each.detail) from each
            second = record_of(each, model, keep_bytes=self._keep_bytes)
            made.append(SecondVectors(second, record.version))
            yield
        return made


def missing_on(
    model: str, names: Sequence[str], replicas: Mapping[str, Mapping[str, Any]]
) -> ModelNotEverywhere:
    """The error that names replicas which have not what they need of a model.

    Args:
        model: of which they miss something.
        names: of them.
        replicas: what each replica tells, by name; its `problems` say why.
    """
    told = {str(replicas[name]["problems"].get(model, "")) for name in names}
    why = "; ".join(sorted(filter(None, told))) or "not ready yet"
    return ModelNotEverywhere(f"model {model!r} is missing on {', '.join(sorted(names))}: {why}")


def _read(records: Sequence[Record], model: str) -> Generator[None, None, list[ToRead]]:
    items: list[ToRead] = []
    for record in records:
        items.append(_to_read(record, model))
        yield
    return items


def _to_read(record: Record, model: str) -> ToRead:
    try:
        if len(record.profile) < LARGE_BYTES:
            profile = StreamerProfile.model_validate_json(record.profile)
        else:
            profile = StreamerProfile.model_validate(loads(record.profile.decode()))
    except ValidationError as error:
        raise _unreadable(record, model, first_problem(error)) from error
    except (ValueError, RecursionError) as error:  # of `loads`
        raise _unreadable(record, model, str(error)) from error
    return ToRead(profile, tower_vectors=record.tower_vectors, stored=record.profile)


def _unreadable(record: Record, model: str, why: str) -> InvalidRequest:
    return InvalidRequest(
        f"stored streamer {record.streamer_id!r} can't be read by model {model}: {why}; change or "
        "delete it, then retry"
    )
