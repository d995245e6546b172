"""Writes for both models, while one serves and another one is about to."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from service.engine.encoding.large_profiles import beside_if_large
from service.engine.encoding.pipeline import EncodedProfile, EncodingPipeline
from service.engine.encoding.profile_reader import ToRead
from service.engine.work.lanes import Lane, Lanes
from service.errors import ModelChanged, ServiceError, Unavailable
from service.features.streamers.records import record_of
from service.store.base import Outcome, Record, StreamerStore, Upsert
from service.store.jobs import JobStep
from service.store.once import Once

_ATTEMPTS = 3


class OtherModel(Protocol):
    """The model, beside that of a write pipeline, which writes are encoded for as well."""

    def pipeline(self) -> EncodingPipeline | None:
        """Encodes for it; None while there is none."""
        ...

    async def refresh(self) -> None:
        """Look what the store wants, and load what is missing for it."""
        ...


class NoOtherModel(OtherModel):
    """Writes are encoded for one model."""

    def pipeline(self) -> EncodingPipeline | None:
        """None."""
        return None

    async def refresh(self) -> None:
        """Nothing is to be looked for."""


class NotForBoth(Exception):
    """The other model can't read some profiles of a job's step; nothing was written.

    Attributes:
        errors: what is wrong, by place in what was to be written.
    """

    def __init__(self, errors: Mapping[int, ServiceError]) -> None:
        """With what is wrong."""
        super().__init__(f"{len(errors)} profiles can't be read by the other model")
        self.errors = errors


async def write_for_both(
    store: StreamerStore,
    other: OtherModel,
    lanes: Lanes | None,
    keep_bytes: bool,
    upserts: Sequence[Upsert],
    encoded: Sequence[EncodedProfile],
    lane: Lane,
    once: Once | None = None,
    step: JobStep | None = None,
) -> list[Outcome | ServiceError]:
    """Store encoded profiles in one script, with the other model's vectors where there is one.

    A store that takes another model's vectors than are known of here is written to again, once
    that model is there: a change of the model refuses no write. In place of a profile that the
    other model can't read, what is wrong with it; the others are stored.

    Raises:
        ModelChanged: the store wants a model that can't be loaded here.
        NotForBoth: of a `step`, which is done as a whole.
        ServiceError: the other model can't read at the moment.
    """
    attempt = 0
    while True:
        attempt += 1
        pipeline = other.pipeline()
        both: list[Upsert] = list(upserts)
        errors: dict[int, ServiceError] = {}
        if pipeline is not None:
            older = await _older(store, pipeline, upserts)
            seconds = await _second_records(
                pipeline, upserts, encoded, older, lane, lanes, keep_bytes
            )
            errors = {i: s for i, s in enumerate(seconds) if isinstance(s, ServiceError)}
            both = [
                replace(upsert, second=second)
                for upsert, second in zip(upserts, seconds, strict=True)
                if not isinstance(second, ServiceError)
            ]
        if errors and step is not None:
            for error in errors.values():
                if isinstance(error, Unavailable):  # the step is done again, and soon with all
                    raise error
            raise NotForBoth(errors)
        try:
            done = iter(await store.write(both, once=once, step=step))
        except ModelChanged:
            if attempt == _ATTEMPTS:
                raise
            await other.refresh()
            if other.pipeline() is None:
                raise
        else:
            return [errors[i] if i in errors else next(done) for i in range(len(upserts))]


async def _older(
    store: StreamerStore, pipeline: EncodingPipeline, upserts: Sequence[Upsert]
) -> list[bytes]:
    """What the other model's towers made of these streamers before, packed.

    The write replaces it, and of dropped bytes and known addresses it can't be made again.
    """
    if not pipeline.has_towers:
        return [b""] * len(upserts)
    ids = [upsert.record.streamer_id for upsert in upserts]
    return await store.of_model(pipeline.model_version).tower_vectors(ids)


async def _second_records(
    pipeline: EncodingPipeline,
    upserts: Sequence[Upsert],
    encoded: Sequence[EncodedProfile],
    older: Sequence[bytes],
    lane: Lane,
    lanes: Lanes | None,
    keep_bytes: bool,
) -> list[Record | ServiceError]:
    """Records of profiles that one model encoded, as another one encodes them.

    It reads them as stored profiles, as a backfill does: the first one has asked their addresses.

    Raises:
        ServiceError: it can't at the moment, or can't read the one that somebody waits for.
    """
    items = [
        ToRead(
            each.profile,
            tower_vectors=each.tower_vectors,
            older=before,
            stored=upsert.record.profile,
        )
        for upsert, each, before in zip(upserts, encoded, older, strict=True)
    ]
    done: Sequence[EncodedProfile | ServiceError]
    if lane is Lane.INTERACTIVE:
        done = [await pipeline.encode(item) for item in items]
    else:
        done = await pipeline.encode_many(items)
    records: list[Record | ServiceError] = []
    for each in done:
        if isinstance(each, ServiceError):
            records.append(each)
            continue
        make = partial(record_of, each, pipeline.model_version, keep_bytes=keep_bytes)
        records.append(await beside_if_large(lanes, each.profile, make, lane))
        if len(done) > 1:
            await asyncio.sleep(0)  # a profile may be large, and others wait
    return records
