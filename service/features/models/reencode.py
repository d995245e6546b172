"""All stored profiles into the vectors of another model."""

import logging

from pydantic import ValidationError

from model_export.contract.errors import first_problem
from model_export.contract.streamer import StreamerProfile
from service.engine.encoding.pipeline import EncodedProfile, EncodingPipeline
from service.engine.encoding.profile_reader import ToRead
from service.errors import ModelMismatch, ServiceError
from service.features.streamers.service import Profiles
from service.store.base import Record, Refused, StreamerStore, Upsert

_log = logging.getLogger(__name__)
_CHUNK = 200
_INCOMPLETE = "incomplete:"


def is_incomplete(model_version: str) -> bool:
    """Whether a store's model version says that re-encoding was begun and not finished."""
    return model_version.startswith(_INCOMPLETE)


async def reencode_all(store: StreamerStore, pipeline: EncodingPipeline, profiles: Profiles) -> int:
    """Encode every stored profile again; the number of those that were.

    Vectors of two models must never be searched together, so the store's model version says that
    it is under way until the last one is written: whoever starts in between is refused or begins
    again, and a profile that has the new model's vectors already is skipped.

    Raises:
        ModelMismatch: the model can't read a stored profile.
    """
    await store.set_model_version(_INCOMPLETE + profiles.model_version)
    after, done = "", 0
    while ids := await store.list_ids(after, _CHUNK):
        after = ids[-1]
        records = [
            record
            for record in await store.get(ids)
            if record is not None and record.model_version != profiles.model_version
        ]
        encoded = await pipeline.encode_many([_to_read(profiles, r) for r in records])
        operations = [
            Upsert(profiles.record(_readable(profiles, r, e)), r.version)
            for e, r in zip(encoded, records, strict=True)
        ]
        outcomes = await store.write(operations) if operations else []
        done += sum(not isinstance(outcome, Refused) for outcome in outcomes)
        _log.info("encoded %d streamers again", done)
    return done


def _to_read(profiles: Profiles, record: Record) -> ToRead:
    try:
        profile = StreamerProfile.model_validate_json(record.profile)
        return ToRead(profile, tower_vectors=record.tower_vectors, stored=record.profile)
    except ValidationError as error:
        raise _mismatch(profiles, record, first_problem(error)) from error


def _readable(
    profiles: Profiles, record: Record, encoded: EncodedProfile | ServiceError
) -> EncodedProfile:
    if isinstance(encoded, ServiceError):
        raise _mismatch(profiles, record, encoded.detail) from encoded
    return encoded


def _mismatch(profiles: Profiles, record: Record, why: str) -> ModelMismatch:
    return ModelMismatch(
        f"stored streamer {record.streamer_id!r} can't be read by model "
        f"{profiles.model_version}: {why}; start with --reencode and the bundle of the model "
        "before to go back, then change or delete that streamer"
    )
