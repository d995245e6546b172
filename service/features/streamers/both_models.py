"""Writes for both models, while one serves and another one is about to."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from service.engine.encoding.pipeline import EncodedProfile, EncodingPipeline
from service.engine.encoding.profile_reader import ToRead
from service.engine.work.lanes import Lane
from service.errors import ModelChanged, ServiceError
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


async def write_for_both(
    store: StreamerStore,
    other: OtherModel,
    keep_bytes: bool,
    upserts: Sequence[Upsert],
    encoded: Sequence[EncodedProfile],
    lane: Lane,
    once: Once | None = None,
    step: JobStep | None = None,
) -> list[Outcome]:
    """Store encoded profiles in one script, with the other model's vectors where there is one.

    A store that takes another model's vectors than are known of here is written to again, once
    that model is there: a change of the model refuses no write.

    Raises:
        ModelChanged: the store wants a model that can't be loaded here.
        ServiceError: the other model can't read a profile, or can't at the moment.
    """
    attempt = 0
    while True:
        attempt += 1
        pipeline = other.pipeline()
        both: Sequence[Upsert] = upserts
        if pipeline is not None:
            seconds = await second_records(pipeline, encoded, lane, keep_bytes=keep_bytes)
            both = [replace(u, second=s) for u, s in zip(upserts, seconds, strict=True)]
        try:
            return await store.write(both, once=once, step=step)
        except ModelChanged:
            if attempt == _ATTEMPTS:
                raise
            await other.refresh()
            if other.pipeline() is None:
                raise


async def second_records(
    pipeline: EncodingPipeline, encoded: Sequence[EncodedProfile], lane: Lane, *, keep_bytes: bool
) -> list[Record]:
    """Records of profiles that one model encoded, as another one encodes them.

    Raises:
        ServiceError: it can't read one, or can't at the moment.
    """
    items = [ToRead(each.profile, tower_vectors=each.tower_vectors) for each in encoded]
    if lane is Lane.INTERACTIVE:
        done = [await pipeline.encode(item) for item in items]
    else:
        done = await pipeline.encode_many(items)
    records: list[Record] = []
    for each in done:
        if isinstance(each, ServiceError):
            raise each
        records.append(record_of(each, pipeline.model_version, keep_bytes=keep_bytes))
    return records
